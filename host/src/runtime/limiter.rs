//! What a store may grow to: linear memory, tables, instances. Wasmtime asks before every growth.

use wasmtime::ResourceLimiter;

use crate::limits::Limits;

/// Which bound was reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    Memory,
    TableElements,
}

/// The bounds of one store, and what it has grown to.
#[derive(Debug)]
pub(super) struct Limiter {
    memory_max: usize,
    table_elements_max: usize,
    instances_max: usize,
    memory: usize,
    memory_peak: usize,
    table_elements: usize,
    refusals: u32,
    /// The bound that a growth was refused for, if one was.
    pub reached: Option<Reached>,
}

/// Linear memories of a component: each takes 4 GiB of address space. No tool chain makes more than one.
pub(super) const MEMORIES_MAX: u32 = 2;

/// A guest that cannot have more memory may free some and go on, as garbage collectors do. One that asks again and again is
/// ended.
const REFUSALS_MAX: u32 = 8;

impl Limiter {
    pub fn new(limits: &Limits) -> Limiter {
        Limiter {
            memory_max: limits.memory.as_usize(),
            table_elements_max: limits.table_elements as usize,
            instances_max: limits.instances as usize,
            memory: 0,
            memory_peak: 0,
            table_elements: 0,
            refusals: 0,
            reached: None,
        }
    }

    /// The most linear memory that there was, in bytes.
    pub fn memory_peak(&self) -> u64 {
        self.memory_peak as u64
    }

    fn refuse(&mut self, reached: Reached) -> wasmtime::Result<bool> {
        self.reached.get_or_insert(reached);
        self.refusals += 1;
        if self.refusals > REFUSALS_MAX {
            return Err(wasmtime::Error::msg("growth was refused again and again"));
        }
        Ok(false)
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        if total > self.memory_max {
            return self.refuse(Reached::Memory);
        }
        self.memory = total;
        self.memory_peak = self.memory_peak.max(total);
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > self.table_elements_max {
            return self.refuse(Reached::TableElements);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.instances_max
    }

    fn tables(&self) -> usize {
        self.instances_max
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ByteSize;

    #[test]
    fn all_memories_count_together_and_begging_ends() {
        let mut limiter = Limiter::new(&Limits { memory: ByteSize(100), ..Limits::default() });
        assert!(limiter.memory_growing(0, 60, None).unwrap() && limiter.memory_growing(0, 40, None).unwrap());
        assert!(!limiter.memory_growing(60, 61, None).unwrap());
        assert_eq!((limiter.reached, limiter.memory_peak()), (Some(Reached::Memory), 100));
        let begging = (0..REFUSALS_MAX).map(|_| limiter.memory_growing(60, 61, None)).find(Result::is_err);
        assert!(begging.is_some());
    }
}
