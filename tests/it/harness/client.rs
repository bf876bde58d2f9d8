//! A client that sends the bytes it is given and reads one answer after the other.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Client<S = TcpStream> {
    pub stream: S,
    unread: Vec<u8>,
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names as they were spelled, in order.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The body ended as its framing promised.
    pub is_complete: bool,
}

impl Client {
    pub async fn to(address: &str) -> Self {
        Self::over(TcpStream::connect(address).await.expect("slidecar listens"))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub const fn over(stream: S) -> Self {
        Self { stream, unread: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("slidecar reads");
    }

    /// A request without a body; `Host` is added.
    pub async fn request(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: app.example\r\n{fields}\r\n")).await;
        self.answer(method).await
    }

    pub async fn get(&mut self, path: &str, cookies: &str) -> Answer {
        self.request("GET", path, &[("Cookie", cookies)]).await
    }

    /// The answer to a request by this method.
    pub async fn answer(&mut self, method: &str) -> Answer {
        self.try_answer(method).await.expect("an answer")
    }

    /// `None` if the connection ends before a head came.
    pub async fn try_answer(&mut self, method: &str) -> Option<Answer> {
        let head = loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.fill().await?;
        };
        let text: String = self.unread.drain(..head).map(char::from).collect();
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let fields: Vec<(String, String)> =
            lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        let mut answer = Answer { status, fields, body: Vec::new(), is_complete: true };
        if method == "HEAD" || matches!(status, 101 | 204 | 304) {
            return Some(answer);
        }
        answer.is_complete = self.body(&mut answer).await.is_some();
        Some(answer)
    }

    /// Whatever comes until the connection ends.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await.is_some() {}
        std::mem::take(&mut self.unread)
    }

    /// Exactly so many bytes.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            self.fill().await.expect("more bytes");
        }
        self.unread.drain(..count).collect()
    }

    async fn body(&mut self, answer: &mut Answer) -> Option<()> {
        if answer.field("transfer-encoding").is_some() {
            loop {
                let line = self.line().await?;
                let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
                if size == 0 {
                    // Trailers end with an empty line.
                    while !self.line().await?.is_empty() {}
                    return Some(());
                }
                self.take(size, &mut answer.body).await?;
                self.line().await?;
            }
        }
        match answer.field("content-length") {
            Some(length) => {
                let length = length.parse().ok()?;
                self.take(length, &mut answer.body).await
            }
            None => {
                answer.body = self.rest().await;
                Some(())
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.fill().await?;
        }
    }

    async fn take(&mut self, mut count: usize, out: &mut Vec<u8>) -> Option<()> {
        while count > 0 {
            if self.unread.is_empty() {
                self.fill().await?;
            }
            let part = count.min(self.unread.len());
            out.extend(self.unread.drain(..part));
            count -= part;
        }
        Some(())
    }

    async fn fill(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.unread).await.ok()?;
        (read > 0).then_some(())
    }
}

impl Answer {
    /// The first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The `Set-Cookie` lines of one cookie.
    pub fn cookie_lines(&self, name: &str) -> Vec<&str> {
        self.all("set-cookie").filter(|line| line.split_once('=').is_some_and(|(own, _)| own == name)).collect()
    }

    /// The value of the one line that sets this cookie.
    pub fn cookie(&self, name: &str) -> &str {
        let lines = self.cookie_lines(name);
        assert_eq!(lines.len(), 1, "one line should set {name}: {:#?}", self.fields);
        lines[0].split_once('=').expect("a pair").1.split(';').next().unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}
