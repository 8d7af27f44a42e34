//! WebSocket frames, as little of them as a page that waits needs (RFC 6455 section 5).
//!
//! The server says states, pings and farewells. The page has nothing to say: what it may send is a close, a ping or a pong.

/// The largest message that is told apart from one that is too large.
const LARGEST: u64 = 1024;

/// What a page sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// A ping, with what is to be sent back.
    Ping(Vec<u8>),
    /// A pong.
    Pong,
    /// A close.
    Close,
    /// Something that ends the connection with this code: 1002 a broken frame, 1008 a message, 1009 a large one.
    Wrong(u16),
}

/// Reads one frame off the front: what it says and how many bytes it takes. None: it is not all there yet.
pub(crate) fn read(bytes: &[u8]) -> Option<(Said, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
    let short = second & 0x7f;
    if first & 0x70 != 0 || second & 0x80 == 0 {
        // A reserved bit that nobody agreed on, or a page that does not mask.
        return Some((Said::Wrong(1002), bytes.len()));
    }
    if opcode < 0x8 {
        return Some((Said::Wrong(refuse(opcode, short, rest)?), bytes.len()));
    }
    if !fin || short > 125 {
        return Some((Said::Wrong(1002), bytes.len()));
    }
    let len = usize::from(short);
    let (mask, rest) = rest.split_first_chunk::<4>()?;
    let payload = rest.get(..len)?;
    let said = match opcode {
        0x8 => Said::Close,
        0x9 => Said::Ping(
            payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect(),
        ),
        0xa => Said::Pong,
        _ => Said::Wrong(1002),
    };
    Some((said, 2 + 4 + len))
}

/// With which code a message is refused, once its length is known.
fn refuse(opcode: u8, short: u8, rest: &[u8]) -> Option<u16> {
    let len = match short {
        126 => u64::from(u16::from_be_bytes(*rest.first_chunk()?)),
        127 => u64::from_be_bytes(*rest.first_chunk()?),
        short => u64::from(short),
    };
    Some(match opcode {
        1 | 2 if len > LARGEST => 1009,
        1 | 2 => 1008,
        _ => 1002,
    })
}

/// A text frame. States are short; one that is not would be cut off here rather than sent wrong.
pub(super) fn text(text: &str) -> Vec<u8> {
    let len = text.len();
    let mut frame = vec![0x81];
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short @ ..126), _) => frame.push(short),
        (_, Ok(long)) => {
            frame.push(126);
            frame.extend(long.to_be_bytes());
        }
        _ => return close(1011),
    }
    frame.extend(text.as_bytes());
    frame
}

/// A ping that asks for nothing but an answer.
pub(super) const PING: [u8; 2] = [0x89, 0];

/// The answer to a ping.
pub(super) fn pong(payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(payload.len()).unwrap_or(0);
    [&[0x8a, len], payload.get(..usize::from(len)).unwrap_or_default()].concat()
}

/// A farewell.
pub(super) fn close(code: u16) -> Vec<u8> {
    [&[0x88, 2][..], &code.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let len = u8::try_from(payload.len()).unwrap();
        let body: Vec<u8> =
            payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        [&[first, 0x80 | len][..], &MASK, &body].concat()
    }

    #[test]
    fn a_page_may_close_ping_and_pong() {
        assert_eq!(read(&masked(0x88, &[3, 232])), Some((Said::Close, 8)));
        assert_eq!(read(&masked(0x89, b"hi")), Some((Said::Ping(b"hi".to_vec()), 8)));
        assert_eq!(read(&masked(0x8a, b"")), Some((Said::Pong, 6)));
        let two = [masked(0x8a, b""), masked(0x88, b"")].concat();
        assert_eq!(read(&two), Some((Said::Pong, 6)), "one at a time");
    }

    #[test]
    fn what_is_not_all_there_waits() {
        let whole = masked(0x89, b"hello");
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut]), None, "{cut} bytes");
        }
    }

    #[test]
    fn anything_else_ends_the_connection() {
        let long = |marker: u8, len: &[u8]| [&[0x81, 0x80 | marker][..], len].concat();
        for (what, bytes, code) in [
            ("text", masked(0x81, b"hello"), 1008),
            ("binary", masked(0x82, b"hello"), 1008),
            ("the first piece of a message", masked(0x01, b"hel"), 1008),
            ("a message of 1024 bytes", long(126, &1024_u16.to_be_bytes()), 1008),
            ("a message of 1025 bytes", long(126, &1025_u16.to_be_bytes()), 1009),
            ("a message of exabytes", long(127, &u64::MAX.to_be_bytes()), 1009),
            ("a continuation of nothing", masked(0x80, b"x"), 1002),
            ("a reserved opcode", masked(0x83, b"x"), 1002),
            ("a reserved control opcode", masked(0x8b, b"x"), 1002),
            ("a reserved bit", masked(0xc9, b"x"), 1002),
            ("a ping in pieces", masked(0x09, b"x"), 1002),
            ("a ping that is too long", vec![0x89, 0x80 | 126], 1002),
            ("an unmasked close", vec![0x88, 0], 1002),
        ] {
            assert_eq!(read(&bytes).map(|(said, _)| said), Some(Said::Wrong(code)), "{what}");
        }
    }

    #[test]
    fn what_the_server_says_is_framed() {
        assert_eq!(text("{}"), [0x81, 2, b'{', b'}']);
        assert_eq!(text(&"x".repeat(126))[..4], [0x81, 126, 0, 126]);
        assert_eq!(close(4001), [0x88, 2, 0x0f, 0xa1]);
        assert_eq!(pong(b"hi"), [0x8a, 2, b'h', b'i']);
    }
}
