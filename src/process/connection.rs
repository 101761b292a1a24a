//! An accepted connection: its socket as hyper reads it, and the handle that handlers get.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use nix::sys::socket::{MsgFlags, Shutdown, recv, setsockopt, shutdown, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

/// The connection a request came by; in the request's extensions.
#[derive(Clone, Debug)]
pub struct Connection {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    stream: TcpStream,
    peer: SocketAddr,
    /// libprocess messages came by it, so what cannot be answered must still be read.
    messages: AtomicBool,
    aborted: AtomicBool,
    /// Where it is served from now on.
    elsewhere: OnceLock<Handle>,
}

impl Connection {
    pub fn new(stream: TcpStream, peer: SocketAddr) -> Connection {
        let (messages, aborted) = (AtomicBool::new(false), AtomicBool::new(false));
        let elsewhere = OnceLock::new();
        Connection { shared: Arc::new(Shared { stream, peer, messages, aborted, elsewhere }) }
    }

    pub fn peer(&self) -> SocketAddr {
        self.shared.peer
    }

    /// The socket for hyper, `before` it what was read of it already.
    pub fn io(&self, before: Bytes) -> Io {
        Io { shared: self.shared.clone(), before }
    }

    /// Waits until there may be something to read.
    pub async fn readable(&self) -> io::Result<()> {
        self.shared.stream.readable().await
    }

    /// Reads what is there; `WouldBlock` if nothing is, 0 at the end.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        read(&self.shared.stream, buffer)
    }

    /// Writes all of it, waiting as long as the peer does not read.
    pub async fn write_all(&self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            match self.shared.stream.try_write(data) {
                Ok(count) => data = &data[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.shared.stream.writable().await?
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// From now on answers that the peer does not want are dropped, and what it sent is read to its end.
    ///
    /// An unlinked libprocess peer writes its messages and closes; our answer to the first is met by a
    /// reset, and the others would be lost if that ended the connection.
    pub fn carries_messages(&self) {
        self.shared.messages.store(true, Ordering::Relaxed);
    }

    /// The rest of the answer under way is written by another runtime, and the connection ends with it: for
    /// streams that may be many. The kernel holds at most `waiting` bytes of it that the client has not taken.
    pub fn continue_on(&self, runtime: &Handle, waiting: usize) {
        // Without it a slow client only has more memory.
        let _ = setsockopt(&self.shared.stream.as_fd(), sockopt::SndBuf, &waiting);
        let _ = self.shared.elsewhere.set(runtime.clone());
    }

    /// The runtime that goes on with it.
    pub(super) fn elsewhere(&self) -> Option<&Handle> {
        self.shared.elsewhere.get()
    }

    /// Ends the connection at once, also while a write to it is stuck.
    pub fn abort(&self) {
        self.shared.aborted.store(true, Ordering::Relaxed);
        // It can only fail because the connection is no more.
        let _ = shutdown(self.shared.stream.as_raw_fd(), Shutdown::Both);
    }

    /// Returns when the peer has closed its side, or the connection broke.
    ///
    /// Streams watch this: hyper leaves a half-closed peer alone (as messages need it), and an event
    /// stream whose client has gone would otherwise be noticed only by failing writes.
    pub async fn gone(self) {
        let stream = &self.shared.stream;
        let mut byte = [0];
        loop {
            match stream.peek(&mut byte).await {
                // Pipelined behind the stream, to be read after it: until then only the end matters, and
                // it is looked for now and then, since the socket stays readable.
                Ok(1..) => {
                    let closed =
                        stream.ready(Interest::READABLE).await.is_ok_and(|ready| ready.is_read_closed());
                    if closed {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Ok(0) | Err(_) => return,
            }
        }
    }
}

/// Reads what is there; `WouldBlock` if nothing is, 0 at the end.
///
/// A read that does not fill the buffer has taken all there was: the stream then counts as empty without being
/// asked again, which would cost as much as the read itself. What comes later wakes whoever waits.
pub fn read(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut partial = None;
    let result = stream.try_io(Interest::READABLE, || {
        let count = recv(stream.as_raw_fd(), buffer, MsgFlags::empty())?;
        if count == 0 || count == buffer.len() {
            return Ok(count);
        }
        partial = Some(count);
        Err(io::ErrorKind::WouldBlock.into())
    });
    partial.map_or(result, Ok)
}

/// Asks the kernel to notice peers that vanished without a word, in hours: silence alone must never end
/// a connection.
pub fn keep_alive(stream: &TcpStream) {
    // Without it a dead peer only stays longer.
    let _ = setsockopt(&stream.as_fd(), sockopt::KeepAlive, &true);
}

/// The socket as tokio and hyper want it.
pub struct Io {
    shared: Arc<Shared>,
    before: Bytes,
}

impl Io {
    /// What a write came to, or a pretence of it if the peer of messages no longer wants answers.
    fn written(&self, result: io::Result<usize>, offered: usize) -> Poll<io::Result<usize>> {
        match result {
            Err(_) if self.forgives() => Poll::Ready(Ok(offered)),
            result => Poll::Ready(result),
        }
    }

    fn forgives(&self) -> bool {
        self.shared.messages.load(Ordering::Relaxed) && !self.shared.aborted.load(Ordering::Relaxed)
    }

    fn write_with(
        &self,
        cx: &mut Context<'_>,
        offered: usize,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Err(error) = ready!(self.shared.stream.poll_write_ready(cx)) {
                return self.written(Err(error), offered);
            }
            match write(&self.shared.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return self.written(result, offered),
            }
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.before.is_empty() {
            let count = this.before.len().min(buffer.remaining());
            buffer.put_slice(&this.before.split_to(count));
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(this.shared.stream.poll_read_ready(cx))?;
            match read(&this.shared.stream, buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.write_with(cx, data.len(), |stream| stream.try_write(data))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let offered = slices.iter().map(|slice| slice.len()).sum();
        self.write_with(cx, offered, |stream| stream.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = shutdown(self.shared.stream.as_raw_fd(), Shutdown::Write);
        Poll::Ready(match result {
            Err(nix::errno::Errno::ENOTCONN) => Ok(()),
            result => result.map_err(io::Error::from),
        })
    }
}
