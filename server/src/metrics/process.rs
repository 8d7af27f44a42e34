//! What the kernel knows of this process, under the names that every Prometheus client uses.

use std::fmt;

use procfs::process::{LimitValue, Process};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

pub(super) fn register(registry: &mut Registry) {
    registry.sub_registry_with_prefix("process").register_collector(Box::new(ThisProcess));
}

#[derive(Debug)]
struct ThisProcess;

/// Numbers of one moment.
struct Numbers {
    cpu_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    /// None where a service sees its own processes alone (systemd's `ProcSubset=pid`).
    started: Option<f64>,
    threads: i64,
    open_fds: u64,
    most_fds: Option<u64>,
}

/// Reads them; none where /proc is not to be read.
fn look() -> Option<Numbers> {
    let process = Process::myself().ok()?;
    let stat = process.stat().ok()?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "clock ticks and seconds fit a float's whole numbers for ages"
    )]
    let seconds = |ticks: u64| ticks as f64 / procfs::ticks_per_second() as f64;
    #[expect(clippy::cast_precision_loss, reason = "as above")]
    let booted = procfs::boot_time_secs().ok().map(|booted| booted as f64);
    let most_fds = match process.limits().ok()?.max_open_files.soft_limit {
        LimitValue::Value(most) => Some(most),
        LimitValue::Unlimited => None,
    };
    Some(Numbers {
        cpu_seconds: seconds(stat.utime + stat.stime),
        resident_bytes: stat.rss * procfs::page_size(),
        virtual_bytes: stat.vsize,
        started: booted.map(|booted| booted + seconds(stat.starttime)),
        threads: stat.num_threads,
        open_fds: u64::try_from(process.fd_count().ok()?).ok()?,
        most_fds,
    })
}

impl Collector for ThisProcess {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(now) = look() else { return Ok(()) };
        let to = &mut encoder;
        show(to, "cpu_seconds", "CPU time used", &ConstCounter::new(now.cpu_seconds))?;
        show(to, "resident_memory_bytes", "Memory in RAM", &ConstGauge::new(now.resident_bytes))?;
        show(to, "virtual_memory_bytes", "Address space", &ConstGauge::new(now.virtual_bytes))?;
        if let Some(started) = now.started {
            let help = "When it started, Unix time";
            show(to, "start_time_seconds", help, &ConstGauge::new(started))?;
        }
        show(to, "threads", "Threads", &ConstGauge::new(now.threads))?;
        show(to, "open_fds", "Open file descriptors", &ConstGauge::new(now.open_fds))?;
        match now.most_fds {
            Some(most) => show(to, "max_fds", "How many it may open", &ConstGauge::new(most)),
            None => Ok(()),
        }
    }
}

fn show(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    let place = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
    metric.encode(place)
}
