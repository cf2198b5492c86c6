//! Frames on a stream between nodes: `u32` big-endian length, then that many bytes of versioned postcard.

use std::io;

use quinn::{RecvStream, SendStream};
use serde::Serialize;
use wire::replication::encode_into;

/// Encodes `value` as one frame, so that it leaves in one write.
pub fn encode_frame<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut frame = encode_into(value, vec![0; 4]);
    let length = u32::try_from(frame.len() - 4).expect("frames are bounded far below 4 GiB");
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

/// Writes one frame made by [`encode_frame`].
///
/// # Errors
/// The stream or its connection is gone.
pub async fn write_frame(stream: &mut SendStream, frame: &[u8]) -> io::Result<()> {
    stream.write_all(frame).await.map_err(io::Error::other)
}

/// Reads one frame's content into `buffer`. `None` when the stream ended between frames.
///
/// # Errors
/// The stream or its connection is gone, ended inside a frame, or announced more than `bytes_max`.
pub async fn read_frame<'a>(
    stream: &mut RecvStream,
    buffer: &'a mut Vec<u8>,
    bytes_max: usize,
) -> io::Result<Option<&'a [u8]>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Ok(()) => {}
        Err(quinn::ReadExactError::FinishedEarly(0)) => return Ok(None),
        Err(error) => return Err(io::Error::other(error)),
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > bytes_max {
        let reason = format!("a frame of {length} bytes was announced, the limit is {bytes_max}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    buffer.clear();
    buffer.resize(length, 0);
    stream.read_exact(buffer).await.map_err(io::Error::other)?;
    Ok(Some(buffer))
}
