//! One connection: request after request until either side has had enough.

use std::io::{self, BufReader, Write};

use crate::http::reader::{Head, Unreadable, read_body, read_head};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::stream::Stream;
use crate::refusal::Refusal;
use crate::service::{Delivery, Service};

/// Serves a connection to its end.
pub(crate) fn serve(stream: Stream, service: &Service) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(BUFFER, stream);
    loop {
        let next = read_head(&mut reader).and_then(|head| match head {
            Some(head) => receive(&mut reader, head, service).map(Some),
            None => Ok(None),
        });
        let (request, keep_alive) = match next {
            Ok(Some(received)) => received,
            Ok(None) | Err(Unreadable::Gone) => return Ok(()),
            Err(Unreadable::Malformed(status, message)) => {
                let refusal = Refusal::new(status, "ERR_INVALID_REQUEST", message);
                let response = Response::refused(&refusal);
                response.write(reader.get_mut(), &service.clock, true)?;
                return reader.get_mut().linger();
            }
        };
        let to = reader.get_mut();
        match service.respond(request) {
            Delivery::Whole(response) => response.write(to, &service.clock, !keep_alive)?,
            Delivery::Half(response) => return response.write_half(to, &service.clock),
            Delivery::Nothing => return Ok(()),
        }
        if !keep_alive {
            return to.finish();
        }
    }
}

fn receive(reader: &mut BufReader<Stream>, head: Head, service: &Service) -> Result<(Request, bool), Unreadable> {
    let mut request = head.request;
    if head.expects_continue {
        let invited = reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
        invited.map_err(|_| Unreadable::Gone)?;
    }
    let limit = service.max_body(&request);
    request.size = read_body(reader, head.framing, limit, &mut request.body)?;
    Ok((request, head.keep_alive))
}

const BUFFER: usize = 64 * 1024;
