//! HTTP by the byte, in both directions: enough of it for libprocess peers and a v1 scheduler, and cheap enough
//! that the emulator is not what is measured.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use bytes::{Buf, Bytes, BytesMut};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;

/// The head of a request or an answer.
#[derive(Debug)]
pub struct Head {
    /// `POST /slave(1)/mesos.internal.X HTTP/1.1` or `HTTP/1.1 200 OK`.
    pub first: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|value| value.contains("chunked"))
    }

    fn length(&self) -> usize {
        self.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0)
    }
}

fn line_end(buffer: &[u8]) -> Option<usize> {
    buffer.windows(2).position(|pair| pair == b"\r\n")
}

/// Takes a head off the buffer once it is whole.
pub fn take_head(buffer: &mut BytesMut) -> Option<Head> {
    let end = buffer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = buffer.split_to(end + 4);
    let text = String::from_utf8_lossy(&head[..end]);
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default().to_owned();
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    Some(Head { first, headers })
}

/// A chunk of a chunked body once it is whole; an empty one is the last.
pub fn take_chunk(buffer: &mut BytesMut) -> Option<Bytes> {
    let end = line_end(buffer)?;
    let size = std::str::from_utf8(&buffer[..end]).ok()?;
    let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16).ok()?;
    if buffer.len() < end + 2 + size + 2 {
        return None;
    }
    buffer.advance(end + 2);
    let chunk = buffer.split_to(size).freeze();
    buffer.advance(2);
    Some(chunk)
}

/// Requests or answers with whole bodies, out of a stream in any pieces.
#[derive(Default)]
pub struct Messages {
    buffer: BytesMut,
    head: Option<Head>,
    body: BytesMut,
}

impl Messages {
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    pub fn take(&mut self) -> Option<(Head, Bytes)> {
        if self.head.is_none() {
            self.head = take_head(&mut self.buffer);
        }
        let head = self.head.as_ref()?;
        if head.chunked() {
            loop {
                let chunk = take_chunk(&mut self.buffer)?;
                if chunk.is_empty() {
                    break;
                }
                self.body.extend_from_slice(&chunk);
            }
        } else {
            let length = head.length();
            if self.buffer.len() < length {
                return None;
            }
            self.body.extend_from_slice(&self.buffer.split_to(length));
        }
        Some((self.head.take()?, self.body.split().freeze()))
    }
}

/// A connection that is written to from anywhere in this thread.
pub struct Outlet {
    stream: TcpStream,
    waiting: RefCell<BytesMut>,
    wake: Notify,
}

impl Outlet {
    /// Connects, from `from` if that matters to the other side.
    pub async fn open(from: Option<IpAddr>, to: SocketAddr) -> io::Result<Rc<Outlet>> {
        let socket = TcpSocket::new_v4()?;
        if let Some(ip) = from {
            socket.bind(SocketAddr::new(ip, 0))?;
        }
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Rc::new(Outlet { stream, waiting: RefCell::default(), wake: Notify::new() }))
    }

    /// Queues bytes; `serve` writes them.
    pub fn send(&self, write: impl FnOnce(&mut BytesMut)) {
        let mut waiting = self.waiting.borrow_mut();
        let idle = waiting.is_empty();
        write(&mut waiting);
        if idle {
            self.wake.notify_one();
        }
    }

    /// Writes what is queued and hands over what comes in, until the connection ends.
    pub async fn serve(&self, mut received: impl FnMut(&mut BytesMut)) -> io::Result<()> {
        let mut incoming = BytesMut::new();
        loop {
            let pending = !self.waiting.borrow().is_empty();
            if pending {
                self.write()?;
            }
            let pending = !self.waiting.borrow().is_empty();
            tokio::select! {
                readable = self.stream.readable() => {
                    readable?;
                    if read(&self.stream, &mut incoming)? {
                        received(&mut incoming);
                    }
                }
                writable = self.stream.writable(), if pending => writable?,
                () = self.wake.notified() => {}
            }
        }
    }

    fn write(&self) -> io::Result<()> {
        let mut waiting = self.waiting.borrow_mut();
        while !waiting.is_empty() {
            match self.stream.try_write(&waiting) {
                Ok(written) => waiting.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if waiting.is_empty() && waiting.capacity() > 1 << 16 {
            *waiting = BytesMut::new();
        }
        Ok(())
    }
}

/// Whether something came. The other side's end is an error.
pub fn read(stream: &TcpStream, into: &mut BytesMut) -> io::Result<bool> {
    into.reserve(16 << 10);
    match stream.try_read_buf(into) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}
