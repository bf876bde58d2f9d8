//! CPU time that processes have used, all their threads together.

use std::fs;

#[derive(Clone, Copy, Default)]
pub struct Cpu {
    /// From the scheduler, exact.
    pub ns: u64,
    /// From the clock tick, rough, but it tells user and system apart.
    pub user_ms: u64,
    pub system_ms: u64,
}

impl Cpu {
    pub fn of(pids: &[u32]) -> Self {
        let mut sum = Self::default();
        for pid in pids {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            for task in tasks {
                let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
                sum.ns += number(text.split(' ').next());
            }
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // The name of the process, in parentheses, may hold spaces; utime and stime are the 12th and 13th after it.
            let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11);
            // A tick is 10 ms on every Linux that matters here.
            sum.user_ms += number(fields.next()) * 10;
            sum.system_ms += number(fields.next()) * 10;
        }
        sum
    }
}

fn number(text: Option<&str>) -> u64 {
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
