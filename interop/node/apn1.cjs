// Sends through the binary protocol with npm's apn 1.7.8, a provider of 2016, with
// its defaults but for where to connect. Prints what it was told of failures.
'use strict';
const apn = require('apn');
const settings = JSON.parse(process.env.SETTINGS);

const connection = new apn.Connection({
  cert: settings.cert, key: settings.key, ca: [settings.ca],
  address: settings.host, port: settings.port, production: false, ...settings.options,
});
const result = { Failed: [], Forgotten: 0, SocketErrors: [], Connections: 0 };
let last = Date.now();
const seen = () => { last = Date.now(); };
connection.on('transmissionError', (code, notification, device) => {
  seen();
  result.Failed.push({ Status: code, Device: device ? device.toString() : '', Number: notification ? notification.payload.number : -1 });
});
connection.on('cacheTooSmall', () => { seen(); result.Forgotten++; });
connection.on('socketError', (err) => { seen(); result.SocketErrors.push(String(err)); });
connection.on('error', (err) => { seen(); result.SocketErrors.push(String(err)); });
connection.on('connected', () => { seen(); result.Connections++; });
connection.on('transmitted', seen);

for (let i = 0; i < settings.count; i++) {
  const notification = new apn.Notification({ number: i });
  notification.alert = `number ${i}`;
  notification.expiry = settings.expiry;
  connection.pushNotification(notification, settings.prefix + i.toString(16).padStart(16, '0'));
}

// Silence is the only success there is, so it waits for it.
const timer = setInterval(() => {
  if (connection.notificationBuffer.length > 0 || Date.now() - last < settings.silence) return;
  clearInterval(timer);
  process.stdout.write(JSON.stringify(result), () => process.exit(0));
}, 50);
