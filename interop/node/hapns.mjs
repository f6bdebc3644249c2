// Sends through hapns as its README shows, and prints what it was told as JSON.
// The settings come from the environment variable SETTINGS; NODE_EXTRA_CA_CERTS
// names the simulator's certificate.
import { readFileSync } from 'node:fs';
import { AlertNotification } from 'hapns/notifications/AlertNotification';
import { BackgroundNotification } from 'hapns/notifications/BackgroundNotification';
import { Device } from 'hapns/targets/device';
import { TokenConnector } from 'hapns/connectors/token';
import { CertificateConnector } from 'hapns/connectors/certificate';
import { send } from 'hapns/send';

const { host, port, key, keyId, teamId, cert, certKey, topic, devices, times } = JSON.parse(process.env.SETTINGS);

const read = file => new Uint8Array(readFileSync(file));
const real = key
  ? TokenConnector({ key: read(key), keyId, teamIdentifier: teamId })
  : CertificateConnector({ cert: read(cert), key: read(certKey) });
// hapns knows Apple's two addresses only, so the address is replaced on its way
// to the connector; everything else is left as it is.
const connector = { ...real, send: (request, debug) => real.send({ ...request, baseUrl: `https://${host}:${port}` }, debug) };

const alert = AlertNotification(topic, { payload: { alert: { title: 'Interop', body: 'from hapns' } }, priority: 10 });
const background = BackgroundNotification(topic, { appData: { news: 1 } });

let sent = 0;
const failed = [];
for (let i = 0; i < times; i++) {
  const note = i % 2 ? background : alert;
  await Promise.all(devices.map(async device => {
    try {
      const { apnsId } = await send(connector, note, Device(device), { useSandbox: true });
      if (!apnsId) throw new Error('no apns-id');
      sent++;
    } catch (error) {
      failed.push({ device, reason: error.reason ?? error.name, error: String(error) });
    }
  }));
}
console.log(JSON.stringify({ sent, failed }));
process.exit(0); // its pools have no way to be closed
