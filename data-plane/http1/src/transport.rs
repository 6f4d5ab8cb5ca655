//! Reading and writing with as few system calls and as little memory as it takes.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What one read takes when nothing is known about what comes. It is on the stack, so a connection that waits
/// holds no buffer.
const UNKNOWN: usize = 16 * 1024;

/// Reads what has come to the end of `buffer`, which only then takes memory for it; 0 at the end of the stream.
pub(crate) fn poll_read<IO: AsyncRead + Unpin>(
    io: &mut IO,
    buffer: &mut BytesMut,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    poll_read_at_most::<UNKNOWN, IO>(io, buffer, context)
}

/// Like [`poll_read`], but for at most `N` bytes.
pub(crate) fn poll_read_at_most<const N: usize, IO: AsyncRead + Unpin>(
    io: &mut IO,
    buffer: &mut BytesMut,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut space = [MaybeUninit::<u8>::uninit(); N];
    let mut read = ReadBuf::uninit(&mut space);
    ready!(Pin::new(io).poll_read(context, &mut read))?;
    buffer.extend_from_slice(read.filled());
    Poll::Ready(Ok(read.filled().len()))
}

/// Reads straight into the spare room of `buffer`, which has some; 0 at the end of the stream.
pub(crate) fn poll_read_into<IO: AsyncRead + Unpin>(
    io: &mut IO,
    buffer: &mut BytesMut,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    pin!(io.read_buf(buffer)).poll(context)
}

/// Bytes to be sent in one system call where the other side takes them: a head or a chunk's frame, data, and
/// what closes the frame.
#[derive(Debug)]
pub(crate) struct Outgoing {
    front: Vec<u8>,
    /// How much of `front` has been written.
    front_written: usize,
    data: Bytes,
    back: &'static [u8],
    /// Whether anything was written since it was asked last.
    progressed: bool,
}

impl Outgoing {
    /// Up to here data is copied behind the head: one buffer costs the kernel less than several.
    const COPIED: usize = 4 * 1024;

    pub(crate) fn new(mut front: Vec<u8>, mut data: Bytes, back: &'static [u8]) -> Self {
        let mut left = back;
        if data.len() <= Self::COPIED {
            front.extend_from_slice(&data);
            front.extend_from_slice(back);
            (data, left) = (Bytes::new(), b"");
        }
        Self {
            front,
            front_written: 0,
            data,
            back: left,
            progressed: false,
        }
    }

    /// Whether some of it was written since this was asked last.
    pub(crate) const fn take_progress(&mut self) -> bool {
        std::mem::replace(&mut self.progressed, false)
    }

    fn advance(&mut self, written: usize) {
        let in_front = written.min(self.front.len().saturating_sub(self.front_written));
        self.front_written = self.front_written.saturating_add(in_front);
        let written = written.saturating_sub(in_front);
        let in_data = written.min(self.data.len());
        self.data.advance(in_data);
        self.back = self
            .back
            .get(written.saturating_sub(in_data)..)
            .unwrap_or_default();
        self.progressed = true;
    }

    /// Ready when all is written and flushed.
    pub(crate) fn poll_write<IO: AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let front = self.front.get(self.front_written..).unwrap_or_default();
            let written = if self.data.is_empty() && self.back.is_empty() {
                if front.is_empty() {
                    return Pin::new(io).poll_flush(context);
                }
                ready!(Pin::new(&mut *io).poll_write(context, front))?
            } else {
                let slices = [front, self.data.as_ref(), self.back].map(IoSlice::new);
                let unwritten = if front.is_empty() {
                    slices.get(1..)
                } else {
                    slices.get(..)
                };
                ready!(Pin::new(&mut *io).poll_write_vectored(context, unwritten.unwrap_or_default()))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
    }
}
