use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_stream::StreamExt as _;

use super::*;

const LIMITS: PortLimits = PortLimits {
    connections: 1,
    handshake: Duration::from_secs(10),
    opening: (4, Duration::from_secs(10)),
};

async fn port() -> (SocketAddr, ReceiverStream<io::Result<Connection>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let port = Port::new(listener, None, LIMITS);
    (address, port.connections(CancellationToken::new()))
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_opening_does_not_come_whole_cannot_be_read() {
    let (address, mut connections) = port().await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"abc").await.unwrap();
    let mut connection = connections.next().await.unwrap().unwrap();
    let mut bytes = [0; 3];
    connection.read_exact(&mut bytes).await.unwrap();
    let late = connection.read(&mut bytes).await.unwrap_err();
    assert_eq!(late.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_begun_may_be_silent() {
    let (address, mut connections) = port().await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"abcd").await.unwrap();
    let mut connection = connections.next().await.unwrap().unwrap();
    let mut bytes = [0; 4];
    connection.read_exact(&mut bytes).await.unwrap();
    let silence = timeout(Duration::from_secs(3600), connection.read(&mut bytes)).await;
    assert!(silence.is_err());
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let (address, mut connections) = port().await;
    let _first = TcpStream::connect(address).await.unwrap();
    let first = connections.next().await.unwrap().unwrap();
    let second = TcpStream::connect(address).await.unwrap();
    assert!(
        timeout(Duration::from_millis(50), connections.next())
            .await
            .is_err()
    );
    drop(first);
    let served = connections.next().await.unwrap().unwrap();
    assert_eq!(served.peer().address, second.local_addr().unwrap());
}
