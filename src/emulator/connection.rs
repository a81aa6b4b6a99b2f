//! One connection: request after request until either side has had enough.

use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::answer::Answer;
use super::http_reader::{Head, TimedStream, Unreadable, read_body, read_head};
use super::refusal::Refusal;
use super::request::Request;
use super::service::{Delivery, Service};

/// Serves a connection to its end.
pub(super) fn serve(stream: TcpStream, service: &Service) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(SLOWEST_READER))?;
    let mut reader = BufReader::with_capacity(BUFFER, TimedStream::new(stream));
    loop {
        let next = read_head(&mut reader).and_then(|head| match head {
            Some(head) => receive(&mut reader, head).map(Some),
            None => Ok(None),
        });
        let (request, keep_alive) = match next {
            Ok(Some(received)) => received,
            Ok(None) | Err(Unreadable::Gone) => return Ok(()),
            Err(Unreadable::Malformed(status, message)) => {
                let refusal = Refusal::new(status, "ERR_INVALID_REQUEST", message);
                let answer = Answer::refused(&refusal);
                return answer.write(&mut writer(&mut reader), &service.clock, true);
            }
        };
        let to = &mut writer(&mut reader);
        match service.respond(request) {
            Delivery::Whole(answer) => answer.write(to, &service.clock, !keep_alive)?,
            Delivery::Half(answer) => return answer.write_half(to, &service.clock),
            Delivery::Nothing => return Ok(()),
        }
        if !keep_alive {
            return Ok(());
        }
    }
}

fn receive(reader: &mut BufReader<TimedStream>, head: Head) -> Result<(Request, bool), Unreadable> {
    let mut request = head.request;
    if head.expects_continue {
        let invited = writer(reader).write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
        invited.map_err(|_| Unreadable::Gone)?;
    }
    request.size = read_body(reader, head.framing, MAX_BODY, &mut request.body)?;
    Ok((request, head.keep_alive))
}

fn writer(reader: &mut BufReader<TimedStream>) -> impl Write + '_ {
    &reader.get_ref().stream
}

/// What the service takes in one request, on the wire.
pub(super) const MAX_BODY: u64 = 4_194_304;
const BUFFER: usize = 64 * 1024;
const SLOWEST_READER: Duration = Duration::from_secs(60);
