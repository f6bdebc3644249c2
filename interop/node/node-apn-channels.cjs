// Manages a channel and sends to it through @parse/node-apn as its README shows,
// and prints what it was told as JSON. See node-apn.cjs for the settings.
const apn = require('@parse/node-apn');

const { host, port, ca, key, keyId, teamId, cert, certKey, topic, devices, subscribe } = JSON.parse(process.env.SETTINGS);

(async () => {
  const provider = new apn.Provider({
    ...(key ? { token: { key, keyId, teamId } } : { cert, key: certKey }),
    address: host,
    port,
    manageChannelsAddress: host,
    manageChannelsPort: port,
    ca: [ca],
    production: false,
  });
  const failed = [];
  const manage = async (action, channelId, payload) => {
    const note = new apn.Notification();
    note.channelId = channelId;
    if (payload) note.payload = payload;
    const result = await provider.manageChannels(note, topic, action);
    failed.push(...result.failed.map(f => ({ device: action, status: f.status, reason: f.response && f.response.reason, error: f.error && String(f.error) })));
    return result.sent[0];
  };
  // The README writes the policy as text and the push type in lower case; this is
  // what Apple documents.
  const made = await manage('create', undefined, { 'message-storage-policy': 1, 'push-type': 'LiveActivity' });
  const channel = made['apns-channel-id'];
  const read = await manage('read', channel);
  const all = await manage('readAll');
  await fetch(subscribe, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ channel_id: channel, device_tokens: devices }) });

  const note = new apn.Notification();
  note.channelId = channel;
  note.expiry = Math.floor(Date.now() / 1000) + 3600;
  note.pushType = 'liveactivity';
  note.timestamp = Math.floor(Date.now() / 1000);
  note.event = 'update';
  note.contentState = { score: '2-1' };
  const { sent, failed: refused } = await provider.broadcast(note, topic);
  failed.push(...refused.map(f => ({ device: 'broadcast', status: f.status, reason: f.response && f.response.reason, error: f.error && String(f.error) })));
  await manage('delete', channel);
  await manage('read', channel); // gone by now
  provider.shutdown();
  console.log(JSON.stringify({
    sent: sent.length, failed, channel, policy: read['message-storage-policy'], all: all.channels,
    unique: sent.every(s => s['apns-unique-id'] && s['apns-request-id']),
  }));
})();
