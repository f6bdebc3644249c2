//! Sends through a2 as its README shows, and prints what it cost.

use a2::request::payload::PayloadLike;
use a2::{Client, ClientConfig, Endpoint, Error, NotificationOptions, Priority, PushType};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A payload that is made already, as with everybody else.
#[derive(serde::Serialize, Debug)]
struct Message<'a> {
    #[serde(skip)]
    json: &'a str,
    #[serde(skip)]
    device: &'a str,
    #[serde(skip)]
    options: NotificationOptions<'a>,
}

impl PayloadLike for Message<'_> {
    fn to_json_string(&self) -> Result<String, Error> {
        Ok(self.json.to_owned())
    }
    fn get_device_token(&self) -> &str {
        self.device
    }
    fn get_options(&self) -> &NotificationOptions<'_> {
        &self.options
    }
}

struct Work {
    clients: Vec<Client>,
    /// Device token and apns-id.
    messages: Vec<(String, String)>,
    json: String,
    topic: String,
    under_way: usize,
}

async fn send(work: &Arc<Work>, n: usize, times: Option<Arc<Mutex<Vec<f64>>>>) -> usize {
    let next = Arc::new(AtomicUsize::new(0));
    let accepted = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for worker in 0..work.under_way.min(n) {
        let (work, next, accepted, times) = (work.clone(), next.clone(), accepted.clone(), times.clone());
        tasks.push(tokio::spawn(async move {
            let client = &work.clients[worker % work.clients.len()];
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= n {
                    return;
                }
                let (device, id) = &work.messages[i % work.messages.len()];
                let options = NotificationOptions {
                    apns_id: Some(id),
                    apns_topic: Some(&work.topic),
                    apns_priority: Some(Priority::High),
                    apns_push_type: Some(PushType::Alert),
                    ..Default::default()
                };
                let began = Instant::now();
                match client.send(Message { json: &work.json, device, options }).await {
                    Ok(_) => {
                        accepted.fetch_add(1, Ordering::Relaxed);
                        if let Some(times) = &times {
                            times.lock().unwrap().push(began.elapsed().as_secs_f64());
                        }
                    }
                    Err(err) if accepted.load(Ordering::Relaxed) == 0 => eprintln!("{err}"),
                    Err(_) => {}
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    accepted.load(Ordering::Relaxed)
}

/// CPU seconds of this process, user and system.
fn cpu() -> f64 {
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

#[tokio::main]
async fn main() {
    let settings: serde_json::Value = serde_json::from_str(&std::env::var("AVISO_BENCH_SETTINGS").unwrap()).unwrap();
    let text = |key: &str| settings[key].as_str().unwrap().to_owned();
    let number = |key: &str| settings[key].as_u64().unwrap() as usize;
    let address = format!("{}:{}", text("Host"), number("Port"));
    a2::client::BENCH.set((address, std::fs::read(text("CAFile")).unwrap())).unwrap();

    let key = std::fs::read(text("KeyFile")).unwrap();
    let clients = (0..number("Connections"))
        .map(|_| Client::token(key.as_slice(), text("KeyID"), text("TeamID"), ClientConfig::new(Endpoint::Sandbox)).unwrap())
        .collect();
    let work = Arc::new(Work {
        clients,
        messages: (0..16384).map(|i| (format!("{i:064x}"), format!("123e4567-e89b-42d3-a456-{i:012x}"))).collect(),
        json: std::fs::read_to_string(text("PayloadFile")).unwrap(),
        topic: text("Topic"),
        under_way: number("InFlight") * number("Connections"),
    });
    let n = number("Notifications");
    // One first on each: hyper opens a connection for every request that finds none.
    send(&work, 1, None).await;
    send(&work, number("Warmup"), None).await;

    let times = settings["Latency"].as_bool().unwrap().then(|| Arc::new(Mutex::new(Vec::with_capacity(n))));
    let (used, began) = (cpu(), Instant::now());
    let accepted = send(&work, n, times.clone()).await;
    let mut report = serde_json::json!({"Accepted": accepted, "Seconds": began.elapsed().as_secs_f64(), "CPU": cpu() - used});
    if let Some(times) = times {
        let mut times = times.lock().unwrap();
        times.sort_by(f64::total_cmp);
        for (name, q) in [("P50", 0.5), ("P99", 0.99), ("P999", 0.999)] {
            if !times.is_empty() {
                report[name] = times[(q * times.len() as f64).ceil() as usize - 1].into();
            }
        }
    }
    println!("{report}");
}
