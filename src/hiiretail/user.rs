use serde::Deserialize;

/// A user of a tenant, as far as the service says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct User {
    /// Made by the service.
    pub id: String,
    /// What people call the user.
    pub name: Option<String>,
    /// The address, where the user has one.
    pub email: Option<String>,
    /// The user's id at the identity provider that the tenant uses.
    pub external_id: Option<String>,
    /// That identity provider.
    pub external_provider_id: Option<String>,
    /// The user's profile.
    pub user_profile_id: Option<String>,
    /// The user's id outside Hii Retail, as that profile has it.
    pub user_profile_external_user_id: Option<String>,
    /// The user's id at Google Identity Platform.
    pub google_identity: Option<String>,
    /// The user's id where the user logs in at Hii Retail itself.
    pub standalone_id: Option<String>,
    /// Who the user is: `Staff` or `Shoppers`.
    pub scope: Option<String>,
    /// How far the service is with the user, such as `Created` or `Inactive`.
    pub status: Option<String>,
    /// Where the user logs in: `Federated` or `Standalone`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}
