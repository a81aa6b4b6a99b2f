use parking_lot::Mutex;

/// Buffers for decompressed bodies, used again: mapping fresh memory costs more than decompressing into it.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    free: Mutex<Vec<Vec<u8>>>,
}

impl BufferPool {
    pub(crate) fn take(&self) -> Vec<u8> {
        self.free.lock().pop().unwrap_or_default()
    }

    /// Keeps the buffer for the next body, unless there are enough or it is too large to hold on to.
    pub(crate) fn give_back(&self, buffer: Vec<u8>) {
        let mut free = self.free.lock();
        if free.len() < MAX_BUFFERS && buffer.capacity() <= MAX_CAPACITY {
            free.push(buffer);
        }
    }
}

/// More bodies are rarely decompressed at the same time: it takes a core each.
const MAX_BUFFERS: usize = 4;
/// Room for the usual request, some 16 MB of rows, with much to spare. All buffers together stay below 256 MiB.
const MAX_CAPACITY: usize = 64 << 20;
