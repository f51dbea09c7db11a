//! Processes of this machine: the operator under test, what they cost, and others that keep the cores busy.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command};

/// The kernel counts processor time in these, whatever its own clock.
const TICKS_PER_S: f64 = 100.0;
/// Where the operator serves its probes, and lets its log be changed.
const LISTEN: &str = "127.0.0.1:18090";
const ADMIN_LISTEN: &str = "127.0.0.1:18091";

/// The processor seconds of a process so far; none if it has ended.
pub fn cpu_s(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<f64> = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.split(' ').map(|field| field.parse().unwrap_or_default()).collect())
        .unwrap_or_default();
    fields.iter().skip(11).take(2).sum::<f64>() / TICKS_PER_S
}

/// MiB that a process holds (`VmRSS`) or held at most (`VmHWM`).
pub fn memory_mib(pid: u32, key: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or_default() / 1024.0
}

/// The process of a component of the embedded cluster.
pub fn pid_of(directory: &str, component: &str) -> u32 {
    let path = format!("{directory}/pids/{component}");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.split_whitespace().next().unwrap_or_default().parse().unwrap()
}

pub fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').take(1).collect()
}

/// Processes that do nothing, at the usual priority, for as long as this lives.
pub struct Busy(Vec<Child>);

impl Busy {
    pub fn start(count: usize) -> Self {
        let one = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        Self((0..count).map(|_| one()).collect())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The operator as a process of this machine. One that ends by itself is started again, as in a cluster, and
/// counted.
pub struct Operator {
    program: String,
    kubeconfig: String,
    log: String,
    child: Child,
    /// How often it ended by itself.
    pub ended: usize,
    cpu_s: f64,
    peak_mib: f64,
}

impl Operator {
    pub fn start(program: &str, kubeconfig: &str, log: &str) -> Self {
        let child = spawn(program, kubeconfig, log);
        let (program, kubeconfig, log) = (program.to_owned(), kubeconfig.to_owned(), log.to_owned());
        Self { program, kubeconfig, log, child, ended: 0, cpu_s: 0.0, peak_mib: 0.0 }
    }

    /// Waits until it serves.
    pub fn until_ready(&self) {
        let mut ready = Command::new(&self.program);
        ready.args(["ready", "--address", LISTEN, "--timeout", "60"]).env("KUBECONFIG", &self.kubeconfig);
        let said = ready.output().unwrap();
        assert!(said.status.success(), "{}: see {}", String::from_utf8_lossy(&said.stderr), self.log);
    }

    /// Notes what it costs, and starts it again if it has ended.
    pub fn look(&mut self) {
        let pid = self.child.id();
        self.peak_mib = self.peak_mib.max(memory_mib(pid, "VmHWM"));
        if self.child.try_wait().unwrap().is_some() {
            self.ended += 1;
            self.child = spawn(&self.program, &self.kubeconfig, &self.log);
        } else {
            self.cpu_s = self.cpu_s.max(cpu_s(pid));
        }
    }

    /// Processor seconds of the process that runs now, as of the last look.
    pub fn cpu_s(&self) -> f64 {
        self.cpu_s
    }

    pub fn peak_mib(&self) -> f64 {
        self.peak_mib
    }

    /// Asks it to end, which gives the Lease back.
    pub fn stop(mut self) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").arg(&pid).status();
        let _ = self.child.wait();
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &str, kubeconfig: &str, log: &str) -> Child {
    let log = File::options().append(true).create(true).open(Path::new(log)).unwrap();
    Command::new(program)
        .args(["operator", "--listen", LISTEN, "--admin-listen", ADMIN_LISTEN])
        .args(["--lease-namespace", crate::cluster::NAMESPACE])
        .env("KUBECONFIG", kubeconfig)
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
