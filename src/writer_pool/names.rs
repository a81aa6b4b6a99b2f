use crate::channel::is_unknown_pipe;
use crate::error::{Error, ErrorKind};
use crate::pipe::Pipe;
use crate::snowflake::api;
use crate::snowflake::status::ChannelStatus;

/// The names of a pool's channels: `EVENTS-POOL-1` and so on, which no load gives its channels.
///
/// Upper case, unless the name is quoted: the service ignores the case of an unquoted name, but its lists of statuses do not.
pub(super) fn channel_names(pool: &str, channels: usize) -> Vec<String> {
    let name = |number| match pool.strip_prefix('"').and_then(|pool| pool.strip_suffix('"')) {
        Some(quoted) => format!("\"{quoted}-POOL-{number}\""),
        None => format!("{}-POOL-{number}", api::upper_case(pool)),
    };
    (1..=channels).map(name).collect()
}

/// Refuses channels that belong to something else, before opening them takes them away.
pub(super) fn check_unopened(pipe: &Pipe, channels: &[String]) -> Result<(), Error> {
    let listed: Vec<_> = channels.iter().flat_map(|channel| api::listed_names(channel)).collect();
    let listed: Vec<_> = listed.iter().map(String::as_str).collect();
    let statuses = match pipe.statuses(&listed) {
        // The first open creates a table's default pipe.
        Err(error) if is_unknown_pipe(&error) => return Ok(()),
        statuses => statuses?,
    };
    channels.iter().try_for_each(|channel| {
        let found = api::listed_names(channel).into_iter().find_map(|name| statuses.get(&name));
        found.map_or(Ok(()), |status| check_channel(channel, status))
    })
}

/// What a pool has committed has offsets of a pool; any other rows are those of another writer.
pub(super) fn check_channel(channel: &str, status: &ChannelStatus) -> Result<(), Error> {
    let (happened, committed) = match status.committed_offset() {
        Some(offset) if offset.is_of_pool() => return Ok(()),
        Some(offset) => (format!("it has committed offset {offset}, which is none of a writer pool's"), Some(offset)),
        None if status.has_rows_without_offset() => ("it has rows without an offset token".to_owned(), None),
        None => return Ok(()),
    };
    let error = Error::new(ErrorKind::Conflict, happened)
        .attempting(format!("use channel {channel} for a writer pool"))
        .advise("it belongs to something else: choose another name for the pool");
    Err(match committed {
        Some(offset) => error.with_committed_offset(offset.to_string()),
        None => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_upper_case_unless_they_are_quoted() {
        assert_eq!(channel_names("events", 2), ["EVENTS-POOL-1", "EVENTS-POOL-2"]);
        assert_eq!(channel_names("\"Events\"", 1), ["\"Events-POOL-1\""]);
    }

    #[test]
    fn only_the_rows_of_a_pool_are_a_pools() {
        let status = |text: &str| serde_json::from_str::<ChannelStatus>(text).unwrap();
        let check = |text: &str| check_channel("EVENTS-POOL-1", &status(text)).map_err(|error| error.to_string());
        assert_eq!(check("{\"last_committed_offset_token\":null}"), Ok(()));
        assert_eq!(check("{\"last_committed_offset_token\":\"pool-9f0c1d2e3a4b5c6d-17\"}"), Ok(()));
        assert_eq!(
            check("{\"last_committed_offset_token\":\"17\"}").unwrap_err(),
            "could not use channel EVENTS-POOL-1 for a writer pool: it has committed offset 17, which is none of a writer \
             pool's; it belongs to something else: choose another name for the pool"
        );
        let unmarked = check("{\"last_committed_offset_token\":null,\"rows_inserted\":3}").unwrap_err();
        assert!(unmarked.contains(": it has rows without an offset token; it belongs to"), "{unmarked}");
    }
}
