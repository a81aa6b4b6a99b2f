use uuid::Uuid;

use crate::refusal::Refusal;

/// Why an access token or a scoped token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidToken {
    /// It was not issued here, or revoked since: both look alike, because issued tokens are not kept.
    Unknown,
    Expired,
    /// It was issued here, but for another host.
    WrongAudience,
}

impl InvalidToken {
    pub(crate) fn refusal(self) -> Refusal {
        match self {
            Self::Expired => refusal("390318", "OAuth access token expired.", "expired"),
            Self::Unknown => invalid("revoked or not issued here"),
            Self::WrongAudience => invalid("issued for another host"),
        }
    }
}

/// The refusal of what is no token of the kind that is wanted. The detail is for the log only.
pub(crate) fn invalid(detail: &str) -> Refusal {
    refusal("390303", "Invalid OAuth access token.", detail)
}

/// The message ends with an id, as that of a refused JWT does.
fn refusal(code: &'static str, message: &str, detail: &str) -> Refusal {
    let message = format!("{message} [{}]", Uuid::new_v4());
    Refusal::new(401, code, message).with_detail(detail)
}
