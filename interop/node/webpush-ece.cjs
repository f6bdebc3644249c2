// Decrypts messages with http_ece, verifies a JWT with jws, and encrypts messages
// with http_ece, as a browser and a push service would see them.
const crypto = require('node:crypto');
const ece = require('http_ece');
const jws = require('jws');

const { messages, payloads, privateKey, p256dh, auth, jwt, publicKey } = JSON.parse(process.env.SETTINGS);

const receiver = crypto.createECDH('prime256v1');
receiver.setPrivateKey(Buffer.from(privateKey, 'base64url'));
const decrypted = messages.map(m => ece.decrypt(Buffer.from(m, 'base64'), {
  version: 'aes128gcm', privateKey: receiver, authSecret: auth,
}).toString('base64'));

const encrypted = payloads.map(({ payload, pad }) => {
  const sender = crypto.createECDH('prime256v1');
  sender.generateKeys();
  return ece.encrypt(Buffer.from(payload, 'base64'), {
    version: 'aes128gcm', privateKey: sender, dh: p256dh, authSecret: auth, pad, rs: 4096,
  }).toString('base64');
});

const point = Buffer.from(publicKey, 'base64url');
const key = crypto.createPublicKey({
  format: 'jwk',
  key: { kty: 'EC', crv: 'P-256', x: point.subarray(1, 33).toString('base64url'), y: point.subarray(33).toString('base64url') },
}).export({ type: 'spki', format: 'pem' });
console.log(JSON.stringify({
  decrypted, encrypted, verified: jws.verify(jwt, 'ES256', key), claims: jws.decode(jwt).payload,
}));
