//! One connection: request after request until either side closes it.

use std::io::{self, BufReader, Write};

use crate::http::handler::{Action, Handler};
use crate::http::reader::{ReadError, read_body, read_head};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::stream::Stream;
use crate::refusal::Refusal;

/// Serves a connection to its end.
pub(crate) fn serve(stream: Stream, handler: &dyn Handler) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(READ_BUFFER, stream);
    loop {
        let (request, keep_alive) = match receive(&mut reader, handler) {
            Ok(received) => received,
            Err(ReadError::Closed) => return Ok(()),
            Err(ReadError::Malformed { status, message }) => {
                let refusal = Refusal::new(status, "ERR_INVALID_REQUEST", message);
                Response::refused(&refusal).closing().write(reader.get_mut(), handler.clock())?;
                return reader.get_mut().linger();
            }
        };
        let action = handler.handle(request);
        let stream = reader.get_mut();
        match action {
            Action::Respond(response) if keep_alive => response.write(stream, handler.clock())?,
            Action::Respond(response) => {
                response.closing().write(stream, handler.clock())?;
                return stream.finish();
            }
            Action::RespondHalf(response) => return response.write_half(stream, handler.clock()),
            Action::Close => return Ok(()),
        }
    }
}

/// Reads one request, and whether the connection stays open after it.
fn receive(reader: &mut BufReader<Stream>, handler: &dyn Handler) -> Result<(Request, bool), ReadError> {
    let head = read_head(reader)?;
    let mut request = head.request;
    if head.expects_continue {
        let invited = reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
        invited.map_err(|_| ReadError::Closed)?;
    }
    let limit = handler.max_body(&request);
    request.size = read_body(reader, head.framing, limit, &mut request.body)?;
    Ok((request, head.keep_alive))
}

/// Heads and chunk sizes are read through it; larger pieces of a body go past it.
const READ_BUFFER: usize = 64 * 1024;
