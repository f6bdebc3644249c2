// Sends messages with web-push as its README shows, with the keys it was given,
// and makes a pair of keys of its own.
const webpush = require('web-push');

const { subscriptions, payloads, subject, publicKey, privateKey } = JSON.parse(process.env.SETTINGS);

webpush.setVapidDetails(subject, publicKey, privateKey);
(async () => {
  const outcomes = [];
  for (const subscription of subscriptions) {
    for (const payload of payloads) {
      try {
        const { statusCode } = await webpush.sendNotification(subscription, Buffer.from(payload, 'base64'), { TTL: 60, urgency: 'high', topic: 'interop' });
        outcomes.push(statusCode);
      } catch (e) {
        outcomes.push(e.statusCode || String(e));
      }
    }
  }
  console.log(JSON.stringify({ outcomes, keys: webpush.generateVAPIDKeys() }));
})();
