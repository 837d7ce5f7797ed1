//! The driver over the crate `fred`: one client of it for each connection, which connects once and then never again.
//!
//! ```text
//! ask ───────► client ─► its task ─► socket
//!                          │ messages, errors
//!                          ▼
//! hear ◄─ Begun, Message, Ended ── ours, which also marks where a subscription was confirmed
//! ```
//!
//! It answers `SUBSCRIBE` as soon as that was written, and drops the confirmation. So a `PING` is sent behind it: its answer
//! comes after the confirmation, or is the error that the server has refused the subscription by, and whatever came in before
//! is told first.
//!
//! Left to itself it lets calls wait for a connection that nobody makes again. What ends with the connection here is told so.

use std::collections::HashMap;
use std::io;
use std::pin::pin;

use bytes::Bytes;
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::config::{
    Config as ClientConfig, ConnectionConfig, PerformanceConfig, Server, ServerConfig, TcpConfig,
};
use fred::types::{ClusterHash, ConnectHandle, CustomCommand, Message, RespVersion, Value as Answer};
use futures_util::future::{self, Either};
use redis::{Arg, Cmd, Value};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::{Door, Heard, Question};
use crate::config::Config;
use crate::fault::Fault;

/// How many messages may wait for whoever tells them. Beyond that some are lost, and the connection is given up.
const MAX_MESSAGES: usize = 1024;

pub(crate) struct Wire {
    client: Client,
    tasks: [AbortHandle; 2],
    is_over: watch::Receiver<bool>,
    confirm: mpsc::Sender<oneshot::Sender<()>>,
}

impl Wire {
    pub(super) async fn open(
        door: Door<'_>,
        hear: impl Fn(Heard) + Send + Sync + 'static,
    ) -> Result<Self, Fault> {
        let client = client(door);
        let (messages, errors) = (client.message_rx(), client.error_rx());
        let mut connected = client.reconnect_rx();
        let mut task = Ending(client.connect());
        if let Either::Right((ended, _)) = future::select(pin!(connected.recv()), &mut task.0).await {
            let why = match ended {
                Ok(Err(error)) => error.details().to_owned(),
                _ => "the driver has ended".to_owned(),
            };
            return Err(Fault::Down(why));
        }
        let (tell, is_over) = watch::channel(false);
        let (confirm, confirms) = mpsc::channel(1);
        let driver = task.0.abort_handle();
        let ears = Ears { messages, errors, confirms, task, tell };
        let ears = tokio::spawn(ears.listen(hear)).abort_handle();
        Ok(Self { client, tasks: [ears, driver], is_over, confirm })
    }

    pub(super) async fn ask(&self, question: &Question<'_>) -> Result<Value, Fault> {
        let asking = async {
            match question {
                Question::One(command) => {
                    let (command, arguments) = custom(command);
                    value(self.client.custom(command, arguments).await)
                }
                Question::Many(commands) => {
                    let pipeline = self.client.pipeline();
                    for command in commands.cmd_iter() {
                        let (command, arguments) = custom(command);
                        let queued: Result<Answer, Error> = pipeline.custom(command, arguments).await;
                        queued.map_err(|error| lost(&error))?;
                    }
                    let answers = pipeline.try_all::<Answer>().await;
                    let answers: Vec<Value> = answers.into_iter().map(value).collect::<Result<_, _>>()?;
                    if answers.len() == commands.len() { Ok(Value::Array(answers)) } else { Err(Fault::Odd) }
                }
            }
        };
        self.while_it_lasts(asking).await
    }

    pub(super) async fn subscribe(&self, channel: &[u8], is_sharded: bool) -> Result<(), Fault> {
        let channel = str::from_utf8(channel).map_err(|_| Fault::Odd)?.to_owned();
        let subscribing = async {
            let subscribed = if is_sharded {
                self.client.ssubscribe(channel).await
            } else {
                self.client.subscribe(channel).await
            };
            if let Err(error) = subscribed {
                return Err(refusal(&error).map_or_else(|| lost(&error), |error| Fault::Redis(error.into())));
            }
            let ping: Result<Answer, Error> = self.client.ping(None).await;
            match value(ping)? {
                Value::ServerError(error) => Err(Fault::Redis(error.into())),
                _ => Ok(()),
            }
        };
        self.while_it_lasts(subscribing).await?;
        let (tell, told) = oneshot::channel();
        let asked = self.confirm.send(tell).await.is_ok();
        if asked && told.await.is_ok() { Ok(()) } else { Err(over()) }
    }

    /// Waits, and gives up when the connection has ended.
    async fn while_it_lasts<T>(&self, asking: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let mut is_over = self.is_over.clone();
        let ended = pin!(is_over.wait_for(|is_over| *is_over));
        match future::select(pin!(asking), ended).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(over()),
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

/// The driver's own task, which is ended with whoever waits for it.
struct Ending(ConnectHandle);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Listens to what the client tells, and says it in order.
struct Ears {
    messages: Receiver<Message>,
    errors: Receiver<(Error, Option<Server>)>,
    confirms: mpsc::Receiver<oneshot::Sender<()>>,
    task: Ending,
    tell: watch::Sender<bool>,
}

enum Event {
    Message(Result<Message, RecvError>),
    Confirm(Option<oneshot::Sender<()>>),
    Over,
}

impl Ears {
    async fn listen(mut self, hear: impl Fn(Heard)) {
        loop {
            match self.next().await {
                Event::Message(Ok(message)) => heard(message).into_iter().for_each(&hear),
                Event::Confirm(Some(tell)) => {
                    // What came in before the confirmation is told before it.
                    if !self.tell_what_waits(&hear) {
                        break;
                    }
                    hear(Heard::Begun);
                    let _ = tell.send(());
                }
                // Whoever has lost messages begins anew, so that it is told.
                Event::Message(Err(_)) | Event::Confirm(None) | Event::Over => break,
            }
        }
        self.tell.send_replace(true);
        hear(Heard::Ended);
    }

    async fn next(&mut self) -> Event {
        let Self { messages, errors, confirms, task, .. } = self;
        let (error, message, confirm) = (pin!(errors.recv()), pin!(messages.recv()), pin!(confirms.recv()));
        let over = future::select(error, &mut task.0);
        let told = future::select(message, confirm);
        match future::select(told, over).await {
            Either::Left((Either::Left((message, _)), _)) => Event::Message(message),
            Either::Left((Either::Right((confirm, _)), _)) => Event::Confirm(confirm),
            Either::Right(_) => Event::Over,
        }
    }

    fn tell_what_waits(&mut self, hear: &impl Fn(Heard)) -> bool {
        loop {
            match self.messages.try_recv() {
                Ok(message) => heard(message).into_iter().for_each(hear),
                Err(broadcast::error::TryRecvError::Empty) => return true,
                Err(_) => return false,
            }
        }
    }
}

fn client(door: Door<'_>) -> Client {
    let Config { user, password, database, connect_timeout, command_timeout, nodelay, .. } = door.config;
    let server = Server::new(door.address.host.clone(), door.address.port);
    let config = ClientConfig {
        fail_fast: true,
        username: user.clone(),
        password: password.clone(),
        server: ServerConfig::Centralized { server },
        version: RespVersion::RESP3,
        database: u8::try_from(*database).ok().filter(|database| *database > 0),
        #[cfg(feature = "tls")]
        tls: door.tls.map(|tls| {
            let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::clone(tls));
            fred::types::config::TlsConnector::Rustls(connector).into()
        }),
        ..ClientConfig::default()
    };
    // Each call has a deadline of ours; these are for what the client does by itself.
    let performance = PerformanceConfig {
        default_command_timeout: *connect_timeout + *command_timeout,
        broadcast_channel_capacity: MAX_MESSAGES,
        ..PerformanceConfig::default()
    };
    let connection = ConnectionConfig {
        connection_timeout: *connect_timeout,
        internal_command_timeout: *connect_timeout,
        max_command_attempts: 1,
        max_redirections: 1,
        reconnect_on_auth_error: false,
        auto_client_setname: false,
        tcp: TcpConfig { nodelay: Some(*nodelay), ..TcpConfig::default() },
        ..ConnectionConfig::default()
    };
    // No policy: it does not connect again.
    Client::new(config, Some(performance), Some(connection), None)
}

/// A command as the client takes it.
fn custom(command: &Cmd) -> (CustomCommand, Vec<Answer>) {
    let mut parts = command.args_iter().map(|part| match part {
        Arg::Simple(part) => part,
        _ => b"0",
    });
    let name = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let arguments = parts.map(|part| Answer::Bytes(Bytes::copy_from_slice(part))).collect();
    (CustomCommand::new(name, ClusterHash::FirstKey, false), arguments)
}

fn heard(message: Message) -> Option<Heard> {
    match message.value {
        Answer::Bytes(bytes) => Some(Heard::Message(bytes)),
        Answer::String(text) => Some(Heard::Message(text.into_inner())),
        // Nobody publishes anything else.
        _ => None,
    }
}

/// An answer as everybody above knows it. Errors of the server are answers.
fn value(answer: Result<Answer, Error>) -> Result<Value, Fault> {
    match answer {
        Ok(answer) => plain(answer),
        Err(error) => refusal(&error).map(Value::ServerError).ok_or_else(|| lost(&error)),
    }
}

fn plain(answer: Answer) -> Result<Value, Fault> {
    Ok(match answer {
        Answer::Null => Value::Nil,
        Answer::Integer(number) => Value::Int(number),
        Answer::Double(number) => Value::Double(number),
        Answer::Boolean(is_so) => Value::Boolean(is_so),
        Answer::String(text) => Value::BulkString(text.into_inner().into()),
        Answer::Bytes(bytes) => Value::BulkString(bytes.into()),
        Answer::Queued => Value::SimpleString("QUEUED".into()),
        Answer::Array(answers) => Value::Array(answers.into_iter().map(plain).collect::<Result<_, _>>()?),
        Answer::Map(answers) => {
            let answers: HashMap<_, _> = answers.inner();
            let pair = |(key, value): (fred::types::Key, Answer)| {
                Ok((Value::BulkString(key.as_bytes().to_vec()), plain(value)?))
            };
            Value::Map(answers.into_iter().map(pair).collect::<Result<_, Fault>>()?)
        }
    })
}

/// What the server said, if this is an error of the server: those begin with a word in capital letters. Read by the other driver,
/// so that both know the same errors.
fn refusal(error: &Error) -> Option<redis::ServerError> {
    let is_ours = matches!(
        error.kind(),
        ErrorKind::IO | ErrorKind::Canceled | ErrorKind::Timeout | ErrorKind::Parse | ErrorKind::Protocol
    );
    let text = error.details();
    let code = text.split(' ').next().unwrap_or_default();
    let is_code = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    if is_ours || !is_code {
        return None;
    }
    let line = format!("-{}\r\n", text.replace(['\r', '\n'], " "));
    match redis::parse_redis_value(line.as_bytes()) {
        Ok(Value::ServerError(error)) => Some(error),
        _ => None,
    }
}

/// An error of the connection, as the other driver tells it: whoever sees one has the connection replaced.
fn lost(error: &Error) -> Fault {
    Fault::Redis(io::Error::new(io::ErrorKind::BrokenPipe, error.details().to_owned()).into())
}

fn over() -> Fault {
    Fault::Redis(io::Error::from(io::ErrorKind::BrokenPipe).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_server_are_answers_and_others_end_the_connection() {
        let server = |kind, text: &'static str| value(Err(Error::new(kind, text)));
        for text in ["NOSCRIPT No matching script.", "MOVED 7 127.0.0.1:1", "WRONGTYPE Operation", "ERR no"] {
            let Ok(Value::ServerError(error)) = server(ErrorKind::Unknown, text) else {
                panic!("{text} is an answer")
            };
            assert_eq!(error.code(), text.split(' ').next().unwrap_or_default());
        }
        for (kind, text) in [
            (ErrorKind::IO, "ERR no"),
            (ErrorKind::Unknown, "Failed to route command."),
            (ErrorKind::Canceled, ""),
        ] {
            let Err(Fault::Redis(error)) = server(kind, text) else { panic!("{text} is no answer") };
            assert!(error.is_unrecoverable_error(), "{error}");
        }
    }

    #[test]
    fn a_command_keeps_its_arguments_apart() {
        let mut command = redis::cmd("SCAN");
        command.cursor_arg(0).arg("MATCH").arg(&b"\xff a"[..]);
        let (name, arguments) = custom(&command);
        assert_eq!(&*name.cmd, "SCAN");
        let expected: Vec<Answer> =
            [&b"0"[..], b"MATCH", b"\xff a"].map(|part| Answer::Bytes(Bytes::copy_from_slice(part))).into();
        assert_eq!(arguments, expected);
    }
}
