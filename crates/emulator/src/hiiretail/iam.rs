//! The IAM: what it knows of each tenant, and one function for each of its operations.

mod assignments;
mod builtin;
mod collection;
mod custom_roles;
mod groups;
mod ids;
mod memberships;
mod permissions;
mod records;
mod resources;
mod roles;
mod users;

use std::collections::HashMap;

use super::call::Call;
use super::operation::Operation;
use super::rejection::{Outcome, Rejection};
use collection::Collection;
use records::{Permission, Role, Tenant};

/// What the IAM knows.
#[derive(Debug)]
pub(super) struct Iam {
    /// How often something new is read before it is there.
    pub(super) settle_after_reads: u32,
    /// How many resources a list returns at most.
    pub(super) resources_per_page: usize,
    permissions: Collection<Permission>,
    roles: Collection<Role>,
    tenants: HashMap<String, Tenant>,
}

impl Default for Iam {
    fn default() -> Self {
        Self {
            settle_after_reads: 0,
            resources_per_page: usize::MAX,
            permissions: builtin::permissions(),
            roles: builtin::roles(),
            tenants: HashMap::new(),
        }
    }
}

impl Iam {
    pub(super) fn carry_out(&mut self, operation: Operation, call: &Call<'_>) -> Outcome {
        let Some(name) = &call.tenant else {
            return self.carry_out_for_all(operation, call);
        };
        let (reads, largest_page) = (self.settle_after_reads, self.resources_per_page);
        let (roles, permissions) = (&self.roles, &self.permissions);
        let tenant = self.tenants.entry(name.clone()).or_default();
        let groups = &mut tenant.groups;
        match operation {
            Operation::CreateGroup => groups::create(groups, call, reads),
            Operation::ListGroups => groups::list(groups, call),
            Operation::GetGroup => groups::get(groups, call),
            Operation::UpdateGroup => groups::update(groups, call),
            Operation::DeleteGroup => groups::delete(groups, call),
            Operation::ListMembers => memberships::users_of_group(tenant, call),
            Operation::AssignRole => assignments::assign(tenant, roles, call, reads),
            Operation::ListAssignments => assignments::list(groups, roles, call),
            Operation::ReplaceBindings => assignments::replace_bindings(groups, call),
            Operation::UnassignRole => assignments::unassign(groups, call),
            Operation::CreateCustomRole => custom_roles::create(tenant, permissions, call),
            Operation::ListCustomRoles => custom_roles::list(tenant, permissions, call),
            Operation::GetCustomRole => custom_roles::get(tenant, permissions, call),
            Operation::UpdateCustomRole => custom_roles::update(tenant, call),
            Operation::DeleteCustomRole => custom_roles::delete(tenant, call),
            Operation::SetResource => resources::set(&mut tenant.resources, call),
            Operation::GetResource => resources::get(&tenant.resources, call),
            Operation::DeleteResource => resources::delete(&mut tenant.resources, call),
            Operation::ListResources => resources::list(&tenant.resources, call, largest_page),
            _ => carry_out_for_users(tenant, operation, call),
        }
    }

    /// The operations that belong to no tenant.
    fn carry_out_for_all(&mut self, operation: Operation, call: &Call<'_>) -> Outcome {
        let (roles, permissions) = (&mut self.roles, &mut self.permissions);
        match operation {
            Operation::CreateRole => roles::create(roles, call),
            Operation::ListRoles => roles::list(roles, permissions, call),
            Operation::GetRole => roles::get(roles, permissions, call),
            Operation::UpdateRole => roles::update(roles, call),
            Operation::CreatePermission => permissions::create(permissions, call),
            Operation::ListPermissions => permissions::list(permissions),
            Operation::GetPermission => permissions::get(permissions, call),
            Operation::UpdatePermission => permissions::update(permissions, call),
            _ => Err(not_here(operation)),
        }
    }
}

fn carry_out_for_users(tenant: &mut Tenant, operation: Operation, call: &Call<'_>) -> Outcome {
    match operation {
        Operation::JoinGroup => memberships::join(tenant, call),
        Operation::ListMemberships => memberships::list(tenant, call),
        Operation::GetMembership => memberships::get(tenant, call),
        Operation::LeaveGroup => memberships::leave(tenant, call),
        Operation::CreateUser => users::create(&mut tenant.users, call),
        Operation::ListUsers => users::list(&tenant.users, call),
        Operation::FindUser => users::find(&tenant.users, call),
        Operation::GetUser => users::get(&tenant.users, call),
        Operation::UpdateUser => users::update(&mut tenant.users, call),
        Operation::DeleteUser => users::delete(tenant, call),
        Operation::ResetPassword => users::reset_password(&tenant.users, call),
        _ => Err(not_here(operation)),
    }
}

/// An operation that has a row in the table and nothing behind it.
fn not_here(operation: Operation) -> Rejection {
    Rejection::Missing(format!("{} is not emulated", operation.name()))
}
