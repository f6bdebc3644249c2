// Manages a channel and sends to it through hapns, and prints what it was told as
// JSON. See hapns.mjs for the settings.
import { readFileSync } from 'node:fs';
import { LiveActivityNotification } from 'hapns/notifications/LiveActivityNotification';
import { createBroadcastChannel, readBroadcastChannel, readAllBroadcastChannels, deleteBroadcastChannel } from 'hapns/channels/broadcast';
import { TokenConnector } from 'hapns/connectors/token';
import { CertificateConnector } from 'hapns/connectors/certificate';
import { send } from 'hapns/send';

const { host, port, key, keyId, teamId, cert, certKey, topic, devices, subscribe } = JSON.parse(process.env.SETTINGS);

const read = file => new Uint8Array(readFileSync(file));
const real = key
  ? TokenConnector({ key: read(key), keyId, teamIdentifier: teamId })
  : CertificateConnector({ cert: read(cert), key: read(certKey) });
// hapns knows Apple's addresses only, so the address is replaced on its way to the
// connector; everything else is left as it is.
const connector = { ...real, send: (request, debug) => real.send({ ...request, baseUrl: `https://${host}:${port}` }, debug) };
const useSandbox = true;

const failed = [];
const attempt = async (what, f) => {
  try {
    return await f();
  } catch (error) {
    failed.push({ device: what, reason: error.reason ?? error.name, error: String(error) });
  }
};
const channel = await createBroadcastChannel(connector, { useSandbox, bundleId: topic, messageStoragePolicy: 1 });
const { messageStoragePolicy } = await readBroadcastChannel(connector, channel, { useSandbox });
const all = await readAllBroadcastChannels(connector, topic, { useSandbox });
await fetch(subscribe, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ channel_id: channel.channelId, device_tokens: devices }) });
const note = LiveActivityNotification(topic, {
  payload: { event: 'update', contentState: { score: '2-1' }, timestamp: Math.floor(Date.now() / 1000) },
  expiration: Math.floor(Date.now() / 1000) + 3600,
  priority: 5,
});
const answer = await attempt('broadcast', () => send(connector, note, channel, { useSandbox }));
await deleteBroadcastChannel(connector, channel, { useSandbox });
await attempt('read', () => readBroadcastChannel(connector, channel, { useSandbox }));
console.log(JSON.stringify({
  sent: answer ? 1 : 0, failed, channel: channel.channelId, policy: messageStoragePolicy, all: all.map(c => c.channelId),
  unique: Boolean(answer && answer.apnsUniqueId && answer.apnsId),
}));
process.exit(0); // its pools have no way to be closed
