// Reads the feedback list with npm's apn 1.7.8, once.
'use strict';
const apn = require('apn');
const settings = JSON.parse(process.env.SETTINGS);

const feedback = new apn.Feedback({
  cert: settings.cert, key: settings.key, ca: [settings.ca],
  address: settings.host, port: settings.port, production: false, interval: 0,
});
feedback.on('feedback', (list) => {
  const Feedback = list.map((entry) => ({ Time: entry.time, Device: entry.device.toString() }));
  // A moment later, so that the connection ends as it ends by itself.
  setTimeout(() => process.stdout.write(JSON.stringify({ Feedback }), () => process.exit(0)), 200);
});
const fail = (err) => { console.error(String(err)); process.exit(1); };
feedback.on('error', fail);
feedback.on('feedbackError', fail);
