//! Connecting to the first of several addresses that answers. Source: RFC 8305 (Happy Eyeballs).

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

/// How long an address is waited for before the next one is tried beside it. Source: RFC 8305, section 8.
const STAGGER: Duration = Duration::from_millis(250);

/// Connects to one of `addresses`, tried in this order.
///
/// # Errors
/// Of the last address that failed, when all did.
pub(crate) async fn connect(addresses: &[IpAddr], port: u16) -> io::Result<(TcpStream, IpAddr)> {
    let (stream, address) = race(addresses, |address| TcpStream::connect((address, port))).await?;
    stream.set_nodelay(true)?;
    Ok((stream, address))
}

/// What `attempt` makes of the first address that succeeds; the others are dropped.
async fn race<T, F>(addresses: &[IpAddr], attempt: impl Fn(IpAddr) -> F) -> io::Result<(T, IpAddr)>
where
    F: Future<Output = io::Result<T>>,
{
    let mut running = FuturesUnordered::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let begin = |address| {
        let attempted = attempt(address);
        async move { (attempted.await, address) }
    };
    for address in addresses {
        running.push(begin(*address));
        let stagger = Instant::now() + STAGGER;
        tokio::select! {
            biased;
            Some((attempted, address)) = running.next() => match attempted {
                Ok(made) => return Ok((made, address)),
                Err(error) => failure = error,
            },
            () = sleep_until(stagger) => {}
        }
    }
    while let Some((attempted, address)) = running.next().await {
        match attempted {
            Ok(made) => return Ok((made, address)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The order to try `addresses` in: the families take turns, that of the first address begins, and within a
/// family the first is another one at each `turn`. Source: RFC 8305, section 4.
pub(crate) fn order(addresses: &[IpAddr], turn: usize) -> Vec<IpAddr> {
    let begins = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (mut first, mut second): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().partition(|address| address.is_ipv6() == begins);
    for family in [&mut first, &mut second] {
        let by = turn.checked_rem(family.len()).unwrap_or(0);
        family.rotate_left(by);
    }
    let mut ordered = Vec::with_capacity(addresses.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        let pair = (first.next(), second.next());
        if pair == (None, None) {
            return ordered;
        }
        ordered.extend(pair.0);
        ordered.extend(pair.1);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn v4(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    fn v6(last: u16) -> IpAddr {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).into()
    }

    /// How an address behaves: answers or fails after so many milliseconds.
    async fn after(ms: u64, outcome: Result<(), io::ErrorKind>) -> io::Result<()> {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        outcome.map_err(io::Error::from)
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_answer_costs_a_quarter_of_a_second() {
        let began = Instant::now();
        let silent = async |address| {
            let ms = if address == v6(1) { 60_000 } else { 10 };
            after(ms, Ok(())).await
        };
        let (_, address) = race(&[v6(1), v4(1)], silent).await.unwrap();
        assert_eq!((address, began.elapsed()), (v4(1), Duration::from_millis(260)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_fails_costs_no_waiting() {
        let began = Instant::now();
        let refused = async |address| {
            let outcome = if address == v4(1) {
                Ok(())
            } else {
                Err(io::ErrorKind::ConnectionRefused)
            };
            after(1, outcome).await
        };
        let (_, address) = race(&[v6(1), v6(2), v4(1)], refused).await.unwrap();
        assert_eq!((address, began.elapsed()), (v4(1), Duration::from_millis(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_address_still_wins_over_a_slower_second() {
        let slow = async |address| after(if address == v6(1) { 300 } else { 100 }, Ok(())).await;
        assert_eq!(race(&[v6(1), v4(1)], slow).await.unwrap().1, v6(1));
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_fail_the_last_failure_is_told() {
        let fail = async |address| {
            let kind = if address == v4(1) {
                io::ErrorKind::ConnectionReset
            } else {
                io::ErrorKind::ConnectionRefused
            };
            after(if address == v4(1) { 400 } else { 300 }, Err(kind)).await
        };
        let error = race(&[v4(1), v4(2)], fail).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let none = race(&[], fail).await.unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn families_take_turns_and_so_do_addresses() {
        let all = [v6(1), v6(2), v4(1), v4(2), v4(3)];
        assert_eq!(order(&all, 0), [v6(1), v4(1), v6(2), v4(2), v4(3)]);
        assert_eq!(order(&all, 1), [v6(2), v4(2), v6(1), v4(3), v4(1)]);
        assert_eq!(order(&[v4(1), v6(1)], 7), [v4(1), v6(1)]);
    }

    proptest! {
        #[test]
        fn ordering_loses_and_adds_no_address(sixth in proptest::collection::vec(any::<bool>(), 0..20), turn: usize) {
            let addresses: Vec<IpAddr> = (0_u8..)
                .zip(sixth)
                .map(|(last, is_v6)| if is_v6 { v6(last.into()) } else { v4(last) })
                .collect();
            let (mut before, mut after) = (addresses.clone(), order(&addresses, turn));
            prop_assert_eq!(
                after.first().map(IpAddr::is_ipv6),
                addresses.first().map(IpAddr::is_ipv6)
            );
            before.sort_unstable();
            after.sort_unstable();
            prop_assert_eq!(before, after);
        }
    }
}
