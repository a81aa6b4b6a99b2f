use std::time::Duration;

/// The waits between looks at something that takes the service a while: short at first, growing to seconds.
#[derive(Debug, Default)]
pub(crate) struct Polls {
    last: Option<Duration>,
}

impl Polls {
    pub(crate) fn next(&mut self) -> Duration {
        let next = match self.last {
            None => FIRST,
            Some(last) => (last * 3 / 2).min(LONGEST),
        };
        self.last = Some(next);
        next
    }
}

const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_tens_of_milliseconds_to_seconds() {
        let mut polls = Polls::default();
        let waits: Vec<_> = (0..14).map(|_| polls.next().as_millis()).collect();
        assert_eq!(waits[..4], [20, 30, 45, 67]);
        assert_eq!(waits[12..], [2000, 2000]);
    }
}
