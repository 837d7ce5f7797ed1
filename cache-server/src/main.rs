//! The process around the library: reads the settings, starts the log, listens, and stops on a signal.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use cache_server::config::{self, Admin, Flags, Loaded};
use cache_server::{Handle, Server, Settings, log};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};

/// File handles that are none of a connection: the listener, the runtime's, the standard streams and some to spare.
const OTHER_HANDLES: u64 = 32;

/// What the kernel keeps of answers for one client, in bytes. A gigabit at a distance of 2 ms.
const SEND_BUFFER_BYTES: u32 = 256 << 10;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

const CANNOT_RUN: u8 = 1;
const WRONG_SETTING: u8 = 2;
/// How long a thread may take that reads or writes a file, once all else has ended: a disk that hangs must not keep the process.
const LAST_WAIT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let flags = match Flags::parse(std::env::args_os()) {
        Ok(flags) => flags,
        Err(help_or_error) => help_or_error.exit(),
    };
    let Loaded { settings, warnings, shown } = match config::load(&flags, &variables()) {
        Ok(loaded) => loaded,
        Err(error) => return fail(&error, WRONG_SETTING),
    };
    if flags.print() {
        // If it cannot be written, nobody reads it.
        let _ = std::io::stdout().write_all(shown.as_bytes());
        return ExitCode::SUCCESS;
    }
    #[cfg(feature = "otel")]
    let traces = match cache_server::Traces::from_environment(&variables()) {
        Ok(traces) => traces,
        Err(error) => return fail(&error, WRONG_SETTING),
    };
    #[cfg(feature = "otel")]
    let started =
        traces.as_ref().map_or_else(|| log::start(&settings), |traces| log::start_with(&settings, traces));
    #[cfg(not(feature = "otel"))]
    let started = log::start(&settings);
    if let Err(error) = started {
        return fail(&error, CANNOT_RUN);
    }
    #[cfg(not(feature = "otel"))]
    if variables().keys().any(|name| name.starts_with("OTEL_EXPORTER_OTLP_")) {
        tracing::warn!(
            "no effect: this server was built without the feature otel, so OTEL_EXPORTER_OTLP_* is ignored"
        );
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if flags.check() {
        tracing::info!("the settings are right");
        return ExitCode::SUCCESS;
    }
    let served = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| {
        let served = runtime.block_on(serve(settings, &flags));
        runtime.shutdown_timeout(LAST_WAIT);
        served
    });
    #[cfg(feature = "otel")]
    if let Some(traces) = traces {
        traces.shutdown();
    }
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error.as_ref(), CANNOT_RUN),
    }
}

async fn serve(settings: Settings, flags: &Flags) -> Result<(), Box<dyn std::error::Error>> {
    let listen = settings.listen;
    let listener = bind(listen).map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    let admin = match settings.admin {
        Admin::Apart(address) => Some(
            bind(address).map_err(|error| format!("cannot listen on admin_listen = {address}: {error}"))?,
        ),
        Admin::Beside | Admin::Off => None,
    };
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let address = listener.local_addr()?;
    let authorization = if settings.is_guarded() { "-H \"Authorization: Bearer $CACHE_TOKEN\" " } else { "" };
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    tracing::info!("listening on {scheme}://{address}");
    if let Some(admin) = &admin {
        tracing::info!("administrators are answered on {scheme}://{}", admin.local_addr()?);
    }
    tracing::info!(
        "try: curl -X PUT {authorization}-d hello '{scheme}://{address}/v1/entries/greeting?ttl=5m'"
    );
    let is_reachable = !settings.listen.ip().is_loopback()
        || matches!(settings.admin, Admin::Apart(admin) if !admin.ip().is_loopback());
    if settings.tls.is_none() && is_reachable {
        tracing::warn!(
            "without TLS, tokens and values can be read on the way: set tls_cert_file, or let a proxy seal it"
        );
    }
    if let Some(warning) = few_handles(settings.max_connections) {
        tracing::warn!("{warning}");
    }
    let told_to_stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let mut hang_up = signal(SignalKind::hangup())?;
    let server = Server::new(settings)?;
    let server = match admin {
        Some(listener) => server.with_admin(listener),
        None => server,
    };
    let handle = server.handle();
    let told_to_reload = async {
        while hang_up.recv().await.is_some() {
            reload(&handle, flags);
        }
        std::future::pending().await
    };
    tokio::select! {
        () = server.run(listener, told_to_stop) => Ok(()),
        never = told_to_reload => never,
    }
}

/// Listens, with a bound to what the kernel keeps for a client who does not take it: by itself it would be megabytes for each, outside of what this
/// process is seen to hold. Connections have it from their listener.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As the standard library does it: a restart does not wait for connections of before.
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Reads all settings again. A wrong one changes nothing.
fn reload(handle: &Handle, flags: &Flags) {
    let loaded = config::load(flags, &variables());
    let changed = loaded
        .map_err(|error| error.to_string())
        .and_then(|loaded| handle.reload(loaded.settings).map_err(|error| error.to_string()));
    match changed {
        Ok(restarts) if restarts.is_empty() => tracing::info!("the settings were read again"),
        Ok(restarts) => {
            let restarts = restarts.join(", ");
            tracing::warn!("the settings were read again; what has changed of {restarts} takes a restart");
        }
        Err(error) => tracing::error!("the settings stay as they were: {error}"),
    }
}

/// Says so if this process may open fewer files than the connections it should hold need.
fn few_handles(max_connections: usize) -> Option<String> {
    // Systems without this file have other ways to ask, none of them without unsafe code.
    let limit = soft_limit(&std::fs::read_to_string("/proc/self/limits").ok()?)?;
    let needed = OTHER_HANDLES.saturating_add(max_connections as u64);
    (limit < needed).then(|| {
        format!(
            "this process may open {limit} files, and max_connections = {max_connections} needs {needed}: raise the \
             limit (ulimit -n, LimitNOFILE), or lower max_connections"
        )
    })
}

/// The soft limit of open files, unless there is none.
fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn variables() -> BTreeMap<String, String> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}

fn fail(error: &dyn std::error::Error, code: u8) -> ExitCode {
    // If not even this can be written, the exit code is all there is to say.
    let _ = writeln!(std::io::stderr(), "cache-server: {error}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_the_first_number_of_its_line() {
        let head = "Limit                     Soft Limit           Hard Limit           Units\n";
        let limits = |soft| {
            format!("{head}Max open files            {soft}                 4096                 files\n")
        };
        assert_eq!(soft_limit(&limits("1024")), Some(1024));
        assert_eq!(soft_limit(&limits("unlimited")), None);
        assert_eq!(soft_limit(head), None);
    }
}
