//! The permissions and roles that are there from the start, of which the real service has many more.

use super::collection::Collection;
use super::records::{Permission, Role};
use crate::hiiretail::operation::Operation;

/// Every permission that an operation of the IAM needs, and two of another system, one with an alias.
pub(super) fn permissions() -> Collection<Permission> {
    let mut all = Collection::of("permission");
    let needed = Operation::ALL.iter().map(|operation| (operation.permission(), None));
    let others = [("pos.receipt.print", Some("Print receipts")), ("pos.receipt.void", None)];
    for (id, alias) in needed.filter(|(id, _)| id.starts_with("iam.")).chain(others) {
        let alias = alias.map(str::to_owned);
        all.set(id, Permission { id: id.to_owned(), description: None, alias });
    }
    all
}

pub(super) fn roles() -> Collection<Role> {
    let mut all = Collection::of("role");
    let every: Vec<_> = permissions().iter().map(|permission| permission.id.clone()).collect();
    let of = |system: &str| every.iter().filter(|id| id.starts_with(system)).cloned().collect::<Vec<_>>();
    for (id, name, permissions, fixed_bindings) in [
        ("iam.admin", "IAM admin", of("iam."), None),
        ("iam.viewer", "IAM viewer", vec!["iam.group.list".to_owned(), "iam.group.get".to_owned()], None),
        ("pos.cashier", "Cashier", of("pos."), Some(vec!["bu:001".to_owned()])),
    ] {
        let name = Some(name.to_owned());
        all.set(id, Role { id: id.to_owned(), name, permissions, fixed_bindings });
    }
    all
}
