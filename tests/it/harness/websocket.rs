//! A websocket client: what a page's script opens, with an Origin of choice.

use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, client::IntoClientRequest};

use super::gateway::Gateway;

/// Opens `/ws`, or gives the status that refused it.
pub async fn open(
    gateway: &Gateway,
    cookie: Option<&str>,
    origin: Option<&str>,
) -> Result<WebSocketStream<TcpStream>, u16> {
    let url = format!("ws://{}/ws", gateway.authority());
    let mut request = url.into_client_request().expect("request");
    for (name, value) in [("cookie", cookie), ("origin", origin)] {
        if let Some(value) = value {
            let value = value.parse().expect("header");
            request.headers_mut().insert(name, value);
        }
    }
    let stream = TcpStream::connect(gateway.address())
        .await
        .expect("connects");
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}
