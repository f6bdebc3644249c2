// Sends through @parse/node-apn as its README shows, and prints what it was told
// as JSON. The settings come from the environment variable SETTINGS.
const apn = require('@parse/node-apn');

const { host, port, ca, key, keyId, teamId, cert, certKey, topic, devices, times, calm, burst } = JSON.parse(process.env.SETTINGS);

(async () => {
  const provider = new apn.Provider({
    ...(key ? { token: { key, keyId, teamId } } : { cert, key: certKey }),
    address: host,
    port,
    ca: [ca],
    production: false,
  });
  const note = new apn.Notification();
  note.topic = topic;
  note.pushType = 'alert';
  note.alert = { title: 'Interop', body: 'from node-apn' };
  note.expiry = Math.floor(Date.now() / 1000) + 3600;
  const sent = [];
  const failed = [];
  for (let i = 0; i < times; i++) {
    // It writes up to 100 requests before it has read the server's SETTINGS. A
    // calm start is one request, and all devices once that is answered; a burst is the
    // first device so often at once.
    const to = burst ? Array(burst).fill(devices[0]) : devices;
    const result = await provider.send(note, calm && i === 0 ? devices[0] : to);
    sent.push(...result.sent.map(s => s.device));
    failed.push(...result.failed.map(f => ({
      device: f.device,
      status: f.status,
      reason: f.response && f.response.reason,
      timestamp: f.response && f.response.timestamp,
      error: f.error && String(f.error),
    })));
  }
  provider.shutdown();
  console.log(JSON.stringify({ sent: sent.length, failed }));
})();
