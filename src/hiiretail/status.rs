use serde::Deserialize;

/// How far the service is with a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(from = "String")]
#[non_exhaustive]
pub enum GroupStatus {
    /// It is being created.
    Creating,
    /// It is there.
    Created,
    /// It is being changed.
    Updating,
    /// The service did not say.
    #[default]
    Unstated,
    /// One that this version does not know.
    Other(String),
}

impl From<String> for GroupStatus {
    fn from(status: String) -> GroupStatus {
        match status.as_str() {
            "Creating" => GroupStatus::Creating,
            "Created" => GroupStatus::Created,
            "Updating" => GroupStatus::Updating,
            _ => GroupStatus::Other(status),
        }
    }
}
