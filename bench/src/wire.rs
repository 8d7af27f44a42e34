//! HTTP/1.1 and WebSocket as a client speaks them, with as little as a measurement needs: what the client spends, the
//! server on the other core does not get.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::Result;

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON, if the status is the one that was hoped for.
    pub(crate) fn json(&self, hoped: u16) -> Result<serde_json::Value> {
        self.hoped(hoped)?;
        Ok(serde_json::from_slice(&self.body)?)
    }

    /// An error that shows the answer, if the status is another.
    pub(crate) fn hoped(&self, hoped: u16) -> Result<()> {
        if self.status == hoped {
            return Ok(());
        }
        let body: String = String::from_utf8_lossy(&self.body).chars().take(300).collect();
        Err(format!("{} and not {hoped}: {body}", self.status).into())
    }
}

/// A connection that is kept, as a proxy in front of the server keeps it.
pub(crate) struct Http {
    server: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Http {
    pub(crate) fn new(server: SocketAddr) -> Self {
        Self { server, stream: None, buffer: Vec::new() }
    }

    /// One request and its answer. `address` is whom the proxy would name as the caller.
    pub(crate) async fn call(&mut self, request: Request<'_>) -> Result<Answer> {
        let Request { method, path, address, headers, body } = request;
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nx-forwarded-for: {address}\r\n{headers}content-length: {}\r\n\r\n{body}",
            self.server,
            body.len()
        );
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(ready(TcpStream::connect(self.server).await?)?),
        };
        stream.write_all(text.as_bytes()).await?;
        self.buffer.clear();
        let answer = read_answer(stream, &mut self.buffer).await;
        if answer.is_err() {
            self.stream = None;
        }
        answer
    }
}

/// What is asked.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) address: Ipv4Addr,
    /// More headers, each with its line's end.
    pub(crate) headers: &'a str,
    pub(crate) body: &'a str,
}

fn ready(stream: TcpStream) -> Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Answer> {
    let (status, head, length) = loop {
        if let Some(head) = find(buffer, b"\r\n\r\n") {
            let text = std::str::from_utf8(buffer.get(..head).unwrap_or_default())?;
            break (status_of(text)?, head + 4, length_of(text)?);
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err("the server hung up before it answered".into());
        }
    };
    while buffer.len() < head + length {
        if stream.read_buf(buffer).await? == 0 {
            return Err("the server hung up in the middle of an answer".into());
        }
    }
    let body = buffer.get(head..head + length).unwrap_or_default().to_vec();
    Ok(Answer { status, body })
}

fn status_of(head: &str) -> Result<u16> {
    let status = head.split(' ').nth(1).ok_or("an answer without a status")?;
    Ok(status.parse()?)
}

fn length_of(head: &str) -> Result<usize> {
    for line in head.lines() {
        if let Some((name, value)) = line.split_once(':') {
            if name.eq_ignore_ascii_case("content-length") {
                return Ok(value.trim().parse()?);
            }
            if name.eq_ignore_ascii_case("transfer-encoding") {
                return Err("an answer in chunks, which no step of a login needs".into());
            }
        }
    }
    Ok(0)
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A waiting page's WebSocket.
pub(crate) struct Socket {
    stream: TcpStream,
    /// What has come and is no whole frame yet; it takes no memory while nothing comes.
    rest: Vec<u8>,
}

/// What a server says to a waiting page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Text(String),
    /// Its code.
    Close(u16),
}

impl Socket {
    /// Opens the WebSocket at `path` as a page of `origin` does, from an address of this machine.
    pub(crate) async fn open(
        server: SocketAddr,
        source: Ipv4Addr,
        path: &str,
        address: Ipv4Addr,
        origin: &str,
    ) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((source, 0)))?;
        let mut stream = ready(socket.connect(server).await?)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {server}\r\nx-forwarded-for: {address}\r\norigin: {origin}\r\n\
             connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut buffer = Vec::with_capacity(512);
        let answer = read_answer(&mut stream, &mut buffer).await?;
        answer.hoped(101)?;
        let head = find(&buffer, b"\r\n\r\n").unwrap_or_default() + 4;
        Ok(Self { stream, rest: buffer.get(head..).unwrap_or_default().to_vec() })
    }

    /// The next state or farewell. Pings are answered.
    pub(crate) async fn next(&mut self) -> Result<Frame> {
        loop {
            if let Some((opcode, payload, taken)) = split(&self.rest) {
                let payload = payload.to_vec();
                self.rest.drain(..taken);
                match opcode {
                    0x1 => return Ok(Frame::Text(String::from_utf8(payload)?)),
                    0x8 => {
                        let code =
                            payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                        return Ok(Frame::Close(code));
                    }
                    // A pong with a mask of zeros.
                    0x9 => {
                        let len = u8::try_from(payload.len())?;
                        let pong = [&[0x8a, 0x80 | len, 0, 0, 0, 0], payload.as_slice()].concat();
                        self.stream.write_all(&pong).await?;
                    }
                    _ => return Err(format!("a frame of kind {opcode}").into()),
                }
                continue;
            }
            if self.rest.is_empty() {
                self.rest = Vec::new();
                self.stream.readable().await?;
            }
            self.rest.reserve(256);
            if self.stream.read_buf(&mut self.rest).await? == 0 {
                return Err("the server hung up on a waiting page".into());
            }
        }
    }

    /// The `state` in the next frame.
    pub(crate) async fn state(&mut self) -> Result<String> {
        match self.next().await? {
            Frame::Text(text) => {
                let state: serde_json::Value = serde_json::from_str(&text)?;
                let state = state.get("state").and_then(serde_json::Value::as_str);
                Ok(state.ok_or("a frame without a state")?.to_owned())
            }
            Frame::Close(code) => {
                Err(format!("the server closed a waiting page with {code}").into())
            }
        }
    }

    /// The next state, which must be this one.
    pub(crate) async fn sees(&mut self, hoped: &str) -> Result<()> {
        let state = self.state().await?;
        if state == hoped {
            Ok(())
        } else {
            Err(format!("a page was told {state} and not {hoped}").into())
        }
    }
}

/// The first frame of what a server sent (RFC 6455 section 5.2): its opcode, its payload, how long it is.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (head, len) = match second {
        126 => (4, usize::from(u16::from_be_bytes(*rest.first_chunk()?))),
        len => (2, usize::from(len)),
    };
    let payload = bytes.get(head..head + len)?;
    Some((first & 0x0f, payload, head + len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_when_it_is_all_there() {
        let frames = [&[0x81, 2, b'{', b'}'][..], &[0x88, 2, 3, 232]].concat();
        assert_eq!(split(&frames[..3]), None);
        assert_eq!(split(&frames), Some((1, &b"{}"[..], 4)));
        assert_eq!(split(&frames[4..]), Some((8, &[3, 232][..], 4)));
    }

    #[test]
    fn the_head_of_an_answer_is_read() {
        let head = "HTTP/1.1 201 Created\r\nContent-Length: 12\r\nx: y";
        assert_eq!((status_of(head).unwrap(), length_of(head).unwrap()), (201, 12));
        assert!(length_of("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked").is_err());
    }
}
