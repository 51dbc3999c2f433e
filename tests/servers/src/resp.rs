//! Just enough of Redis' protocol (RESP 2) to tell a server something.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What Redis answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A status, such as `OK`.
    Status(String),
    /// A number.
    Number(i64),
    /// A string, or none.
    Bulk(Option<Vec<u8>>),
    /// A list.
    List(Vec<Reply>),
}

impl Reply {
    /// As text; empty if it is none.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Status(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned(),
            Self::List(items) => items.iter().map(Self::text).collect::<Vec<_>>().join(" "),
        }
    }

    /// As a number.
    #[must_use]
    pub fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            other => other.text().parse().ok(),
        }
    }

    /// Its items, if it is a list.
    #[must_use]
    pub fn items(&self) -> &[Reply] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The value of `name: value` in an answer such as that to INFO.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        let text = self.text();
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value.trim().to_owned())
    }
}

/// Sends one command on a connection of its own.
///
/// # Errors
/// What Redis says, or why it could not be asked.
pub async fn ask<A: AsRef<[u8]>>(server: SocketAddr, arguments: &[A]) -> Result<Reply, String> {
    let asked = tokio::time::timeout(PATIENCE, exchange(server, arguments)).await;
    asked.map_err(|_| format!("{server} has not answered within {PATIENCE:?}"))?
}

async fn exchange<A: AsRef<[u8]>>(server: SocketAddr, arguments: &[A]) -> Result<Reply, String> {
    let lost = |error: std::io::Error| format!("{server}: {error}");
    let mut stream = BufReader::new(TcpStream::connect(server).await.map_err(lost)?);
    let mut request = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        let argument = argument.as_ref();
        request.extend(format!("${}\r\n", argument.len()).bytes());
        request.extend_from_slice(argument);
        request.extend(b"\r\n");
    }
    stream.write_all(&request).await.map_err(lost)?;
    read(&mut stream).await
}

async fn read(stream: &mut BufReader<TcpStream>) -> Result<Reply, String> {
    let mut line = String::new();
    stream.read_line(&mut line).await.map_err(|error| error.to_string())?;
    let line = line.trim_end();
    let (kind, rest) = line.split_at_checked(1).ok_or("the connection was closed")?;
    let number = || rest.parse::<i64>().map_err(|_| format!("{line:?} is no answer of Redis"));
    match kind {
        "+" => Ok(Reply::Status(rest.to_owned())),
        "-" => Err(rest.to_owned()),
        ":" => Ok(Reply::Number(number()?)),
        "$" => match usize::try_from(number()?) {
            Err(_) => Ok(Reply::Bulk(None)),
            Ok(length) => {
                let mut bytes = vec![0; length + 2];
                stream.read_exact(&mut bytes).await.map_err(|error| error.to_string())?;
                bytes.truncate(length);
                Ok(Reply::Bulk(Some(bytes)))
            }
        },
        "*" => {
            let mut items = Vec::new();
            for _ in 0..number()?.max(0) {
                items.push(Box::pin(read(stream)).await?);
            }
            Ok(Reply::List(items))
        }
        _ => Err(format!("{line:?} is no answer of Redis")),
    }
}
