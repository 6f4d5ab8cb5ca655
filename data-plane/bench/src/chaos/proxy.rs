//! A way from one gateway to one control plane that can be cut.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How a way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// Connections are ended, and new ones too.
    Cut,
    /// Nothing passes, and nobody is told.
    Silent,
}

/// A proxy; dropped, it ends.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    way: watch::Sender<Way>,
}

impl Proxy {
    pub(crate) async fn start(to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (way, seen) = watch::channel(Way::Open);
        tokio::spawn(async move {
            let mut ended = seen.clone();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((stream, _)) = accepted else { continue };
                        tokio::spawn(carry(stream, to, seen.clone()));
                    }
                    gone = ended.changed() => if gone.is_err() { return },
                }
            }
        });
        Ok(Self { address, way })
    }

    pub(crate) fn set(&self, way: Way) {
        self.way
            .send_if_modified(|now| std::mem::replace(now, way) != way);
    }
}

/// Carries bytes both ways while the way is open.
async fn carry(mut from: TcpStream, to: SocketAddr, mut way: watch::Receiver<Way>) {
    if *way.borrow_and_update() != Way::Open {
        // Who is cut off hears that; who is not answered waits until the way is another.
        if *way.borrow() == Way::Silent {
            way.changed().await.ok();
        }
        return;
    }
    let Ok(mut there) = TcpStream::connect(to).await else {
        return;
    };
    let stopped = async {
        // A sender that is gone ends it as well.
        while way.changed().await.is_ok() && *way.borrow() == Way::Open {}
    };
    tokio::select! {
        // Either side may end it at any time.
        _ = copy_bidirectional(&mut from, &mut there) => return,
        () = stopped => {}
    }
    if *way.borrow() == Way::Silent {
        way.changed().await.ok();
    }
}
