// Sends through @parse/node-apn as its README shows, and prints what it cost.
const fs = require('fs');
const apn = require('@parse/node-apn');

const s = JSON.parse(process.env.AVISO_BENCH_SETTINGS);
const payload = JSON.parse(fs.readFileSync(s.PayloadFile));
const options = {
  token: { key: fs.readFileSync(s.KeyFile), keyId: s.KeyID, teamId: s.TeamID },
  address: s.Host,
  port: s.Port,
  ca: [fs.readFileSync(s.CAFile)],
  production: false,
};
const provider = s.Connections > 1 ? new apn.MultiProvider({ ...options, clientCount: s.Connections }) : new apn.Provider(options);

const note = new apn.Notification();
note.topic = s.Topic;
note.pushType = 'alert';
note.priority = 10;
note.rawPayload = payload;

const devices = Array.from({ length: 16384 }, (_, i) => i.toString(16).padStart(64, '0'));

// Its users hand over lists; two halves of what may be under way keep it busy.
async function send(n) {
  const size = Math.max(1, Math.floor((s.InFlight * s.Connections) / 2));
  let next = 0;
  let accepted = 0;
  await Promise.all([0, 1].map(async () => {
    while (next < n) {
      const from = next % (devices.length - size);
      const list = devices.slice(from, from + Math.min(size, n - next));
      next += list.length;
      const result = await provider.send(note, list);
      accepted += result.sent.length;
      if (result.failed.length && !accepted) throw result.failed[0].error || new Error(JSON.stringify(result.failed[0].response));
    }
  }));
  return accepted;
}

// One device each, so that each has a time of its own.
async function sendTimed(n, times) {
  let next = 0;
  let accepted = 0;
  await Promise.all(Array.from({ length: s.InFlight * s.Connections }, async () => {
    while (next < n) {
      const i = next++;
      const began = performance.now();
      const result = await provider.send(note, devices[i % devices.length]);
      accepted += result.sent.length;
      times.push((performance.now() - began) / 1000);
    }
  }));
  return accepted;
}

(async () => {
  await send(s.Warmup);
  const times = [];
  const cpu = process.cpuUsage();
  const began = performance.now();
  const accepted = s.Latency ? await sendTimed(s.Notifications, times) : await send(s.Notifications);
  const seconds = (performance.now() - began) / 1000;
  const used = process.cpuUsage(cpu);
  const report = { Accepted: accepted, Seconds: seconds, CPU: (used.user + used.system) / 1e6 };
  if (s.Latency) {
    times.sort((a, b) => a - b);
    const at = q => times[Math.ceil(q * times.length) - 1];
    Object.assign(report, { P50: at(0.5), P99: at(0.99), P999: at(0.999) });
  }
  console.log(JSON.stringify(report));
  process.exit(0); // shutting down in order waits for a heartbeat
})().catch(err => {
  console.error(err);
  process.exit(1);
});
