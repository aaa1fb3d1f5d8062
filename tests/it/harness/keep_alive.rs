//! One connection to a gateway, used for one request after another: what an
//! application's traffic looks like, and cheap enough for many thousands.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use vestibule::base::bounded_body;

use super::gateway::Gateway;
use super::until;

/// Far above what is asked for here.
const BODY_LIMIT: usize = 1024 * 1024;

pub struct KeepAlive {
    address: SocketAddr,
    authority: String,
    sender: Option<SendRequest<Full<Bytes>>>,
    /// Connections made so far.
    pub made: usize,
}

impl KeepAlive {
    /// Connects with the first request.
    pub fn to(gateway: &Gateway) -> Self {
        Self::to_host(gateway, &gateway.authority())
    }

    /// The same for another host of the gateway, `name:port`.
    pub fn to_host(gateway: &Gateway, authority: &str) -> Self {
        Self {
            address: gateway.address(),
            authority: authority.to_owned(),
            sender: None,
            made: 0,
        }
    }

    /// What a script with this session cookie gets: status and body.
    pub async fn get(&mut self, path: &str, cookie: &str) -> Result<(u16, String), String> {
        let request = Request::builder()
            .uri(path)
            .header("host", &self.authority)
            .header("accept", "application/json")
            .header("cookie", format!("vestibule={cookie}"))
            .body(Full::default());
        self.ask(request.expect("request")).await
    }

    /// What somebody without a session gets who goes there: status and body.
    pub async fn navigate(&mut self, path: &str) -> Result<(u16, String), String> {
        let request = Request::builder()
            .uri(path)
            .header("host", &self.authority)
            .header("accept", "text/html")
            .header("sec-fetch-mode", "navigate")
            .body(Full::default());
        self.ask(request.expect("request")).await
    }

    /// Presses the button of our own sign-out form.
    pub async fn sign_out(&mut self, origin: &str, cookie: &str) -> Result<(u16, String), String> {
        let request = Request::builder()
            .method("POST")
            .uri("/oauth2/sign_out")
            .header("host", &self.authority)
            .header("accept", "text/html")
            .header("origin", origin)
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cookie", format!("vestibule={cookie}"))
            .body(Full::default());
        self.ask(request.expect("request")).await
    }

    async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<(u16, String), String> {
        let work = async {
            let mut sender = match self.sender.take() {
                Some(sender) if !sender.is_closed() => sender,
                _ => self.connected().await?,
            };
            sender.ready().await.map_err(|error| error.to_string())?;
            let answer = sender.send_request(request).await;
            let (head, body) = answer.map_err(|error| error.to_string())?.into_parts();
            let body = bounded_body::read(body, BODY_LIMIT).await;
            let body = body.map_err(|error| format!("{error:?}"))?;
            self.sender = Some(sender);
            let text = String::from_utf8_lossy(&body).into_owned();
            Ok((StatusCode::as_u16(&head.status), text))
        };
        timeout(until::PATIENCE, work)
            .await
            .map_err(|_| "no answer in time".to_owned())?
    }

    async fn connected(&mut self) -> Result<SendRequest<Full<Bytes>>, String> {
        let stream = TcpStream::connect(self.address).await;
        let stream = stream.map_err(|error| format!("connect: {error}"))?;
        drop(stream.set_nodelay(true));
        let made = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = made.map_err(|error| format!("handshake: {error}"))?;
        tokio::spawn(connection);
        self.made += 1;
        Ok(sender)
    }
}
