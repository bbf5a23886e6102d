//! The process at the other end of a connection on this machine: which function it runs, and how to kill it.
//!
//! Linux shows both under `/proc`. The functions need no change for this.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The environment variable with the function's name. Lambda sets it.
const FUNCTION_NAME: &str = "AWS_LAMBDA_FUNCTION_NAME";

/// How often the kernel's tables are read before a socket or its process counts as missing.
const READS: usize = 50;

/// A running function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerProcess {
    pid: Pid,
    /// The function's full name, with prefix and branch.
    pub function: String,
}

impl PeerProcess {
    /// The function at the other end of a connection. `peer` is its address, `ours` the address of this end. Both are
    /// needed: one port may have connections to several places.
    ///
    /// # Errors
    /// No process has the connection, or the process is not a function.
    pub fn behind(peer: SocketAddr, ours: SocketAddr) -> Result<Self> {
        // While other sockets and processes come and go, a read of the kernel's tables may miss a line.
        let inode = (0..READS)
            .find_map(|_| inode_of(peer, ours))
            .context("no socket of this machine is at the other end")?;
        let socket = format!("socket:[{inode}]");
        let pid = (0..READS)
            .find_map(|_| pid_with(&socket))
            .context("no process has the socket at the other end")?;
        let Some(function) = function_of(pid) else {
            bail!("the process at the other end is not a function");
        };
        Ok(Self { pid, function })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Kills it without any clean-up, as if its machine had died.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill(&self) -> Result<()> {
        // Another process may have the id by now.
        if function_of(self.pid).as_ref() != Some(&self.function) {
            return Ok(());
        }
        match kill(self.pid, Signal::SIGKILL) {
            // It has already ended.
            Err(Errno::ESRCH) => Ok(()),
            killed => killed.context("cannot kill a function"),
        }
    }
}

/// A function's name without prefix and branch: `pay-order` of `payment3-pay-order-faults`.
pub fn short_name(function: &str) -> &str {
    let name = function.strip_prefix("payment3-").unwrap_or(function);
    name.rsplit_once('-').map_or(name, |(name, _)| name)
}

/// Every running process of the functions of this branch.
pub fn running(branch: &str) -> Vec<PeerProcess> {
    let ending = format!("-{branch}");
    pids()
        .filter_map(|pid| {
            let function = function_of(pid)?;
            function
                .ends_with(&ending)
                .then_some(PeerProcess { pid, function })
        })
        .collect()
}

/// The socket's number, from the kernel's table of IPv4 connections.
fn inode_of(local: SocketAddr, remote: SocketAddr) -> Option<String> {
    let wanted = (as_in_the_table(local)?, as_in_the_table(remote)?);
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let ends = (fields.nth(1)?, fields.next()?);
        // Skips state, queues, timer, retransmits, uid and timeout.
        let inode = fields.nth(6)?;
        (ends == (wanted.0.as_str(), wanted.1.as_str()) && inode != "0").then(|| inode.to_owned())
    })
}

/// An address as the kernel prints it: a little-endian word and the port, in hexadecimal.
fn as_in_the_table(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else {
        return None;
    };
    Some(format!(
        "{:08X}:{:04X}",
        u32::from_le_bytes(address.ip().octets()),
        address.port()
    ))
}

fn pid_with(socket: &str) -> Option<Pid> {
    pids().find(|pid| {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{}/fd", pid.as_raw())) else {
            return false;
        };
        descriptors
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .any(|link| link.as_os_str() == socket)
    })
}

fn function_of(pid: Pid) -> Option<String> {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw())).ok()?;
    environment
        .split(|byte| *byte == 0)
        .filter_map(|variable| std::str::from_utf8(variable).ok()?.split_once('='))
        .find(|(name, _)| *name == FUNCTION_NAME)
        .map(|(_, value)| value.to_owned())
}

fn pids() -> impl Iterator<Item = Pid> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_has_neither_prefix_nor_branch() {
        assert_eq!(short_name("payment3-pay-order-faults"), "pay-order");
        assert_eq!(
            short_name("payment3-ensure-kbank-user-e2e"),
            "ensure-kbank-user"
        );
    }
}
