use std::net::Ipv4Addr;
use std::sync::atomic::AtomicBool;

use super::*;

const REFRESH: Duration = Duration::from_secs(30);

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

/// A name server under the test's control.
#[derive(Default)]
struct Zone {
    answer: Mutex<Vec<IpAddr>>,
    is_down: AtomicBool,
    is_silent: AtomicBool,
    asked: AtomicUsize,
}

impl Zone {
    fn set(&self, answer: &[IpAddr]) {
        *self.answer.lock().unwrap() = answer.to_vec();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn resolver(self: &Arc<Self>) -> Resolver {
        let zone = Arc::clone(self);
        Resolver::new(REFRESH, move |_| {
            let zone = Arc::clone(&zone);
            Box::pin(async move {
                zone.asked.fetch_add(1, Ordering::Relaxed);
                if zone.is_silent.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                if zone.is_down.load(Ordering::Relaxed) {
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                Ok(zone.answer.lock().unwrap().clone())
            })
        })
    }
}

/// Lets the next scheduled question pass.
async fn refreshed() {
    tokio::time::sleep(REFRESH + Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_name_is_asked_for_once_by_all_and_again_on_schedule() {
    let zone = Arc::new(Zone::default());
    zone.set(&[ip(1)]);
    let resolver = zone.resolver();
    let (host, same) = (resolver.host("n.example"), resolver.host("n.example"));
    assert!(Arc::ptr_eq(&host, &same));
    assert_eq!(zone.asked(), 0);
    let (one, other) = tokio::join!(host.addresses(), same.addresses());
    assert_eq!((one, other), (Ok(vec![ip(1)]), Ok(vec![ip(1)])));
    assert_eq!(zone.asked(), 1);
    zone.set(&[ip(2)]);
    refreshed().await;
    assert_eq!(host.addresses().await, Ok(vec![ip(2)]));
    assert_eq!(zone.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_known_name_never_makes_anybody_wait() {
    let zone = Arc::new(Zone::default());
    zone.set(&[ip(1)]);
    let host = zone.resolver().host("n.example");
    host.addresses().await.unwrap();
    for trouble in [&zone.is_down, &zone.is_silent] {
        trouble.store(true, Ordering::Relaxed);
        refreshed().await;
        let began = tokio::time::Instant::now();
        assert_eq!(host.addresses().await, Ok(vec![ip(1)]));
        assert!(began.elapsed().is_zero());
        assert!(host.leads_to(ip(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_leads_nowhere_is_asked_for_again_soon() {
    let zone = Arc::new(Zone::default());
    let host = zone.resolver().host("n.example");
    assert_eq!(host.addresses().await, Err(Unresolved));
    zone.set(&[ip(1)]);
    tokio::time::sleep(RETRY_AFTER + Duration::from_millis(1)).await;
    assert_eq!(host.addresses().await, Ok(vec![ip(1)]));
}

#[tokio::test(start_paused = true)]
async fn an_address_is_gone_when_two_answers_lack_it() {
    let zone = Arc::new(Zone::default());
    zone.set(&[ip(1), ip(2)]);
    let host = zone.resolver().host("n.example");
    host.addresses().await.unwrap();
    zone.set(&[ip(2), ip(3)]);
    refreshed().await;
    assert_eq!(
        [1, 2, 3, 4].map(|it| host.leads_to(ip(it))),
        [true, true, true, false]
    );
    assert!(!host.addresses().await.unwrap().contains(&ip(1)));
    refreshed().await;
    assert_eq!([1, 2, 3].map(|it| host.leads_to(ip(it))), [false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_nobody_holds_is_not_followed() {
    let zone = Arc::new(Zone::default());
    zone.set(&[ip(1)]);
    let resolver = zone.resolver();
    let host = resolver.host("n.example");
    host.addresses().await.unwrap();
    drop(host);
    refreshed().await;
    refreshed().await;
    assert_eq!(zone.asked(), 1);
    drop(resolver.host("other.example"));
    assert_eq!(resolver.hosts.lock().unwrap().len(), 1);
}

#[test]
fn a_name_outlives_the_runtime_that_followed_it() {
    let zone = Arc::new(Zone::default());
    zone.set(&[ip(1)]);
    let host = zone.resolver().host("n.example");
    for answers in 1..3 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        assert_eq!(runtime.block_on(host.addresses()), Ok(vec![ip(1)]));
        // The second runtime asks again, which the test awaits before it goes.
        runtime.block_on(async {
            while zone.asked() < answers {
                tokio::task::yield_now().await;
            }
        });
    }
}

#[tokio::test]
async fn an_address_needs_no_resolver() {
    let zone = Arc::new(Zone::default());
    for text in ["10.0.0.1", "fd00::1"] {
        let host = zone.resolver().host(text);
        let address: IpAddr = text.parse().unwrap();
        assert_eq!(host.addresses().await, Ok(vec![address]));
        assert!(host.leads_to(address) && !host.leads_to(ip(9)));
    }
    assert_eq!(zone.asked(), 0);
}

#[tokio::test]
async fn the_system_knows_localhost() {
    let host = Resolver::of_the_system(REFRESH).host("localhost");
    assert!(host.addresses().await.unwrap().iter().all(IpAddr::is_loopback));
}
