// Makes passes with passkit-generator as its documentation shows for many passes of
// one model: the files are read once, and each pass is made from them. For every
// line on standard input, a number of seconds, it makes passes for that long and
// prints how many there were and what they cost.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const readline = require("node:readline");
const { PKPass } = require("passkit-generator");

const settings = JSON.parse(process.env.AVISO_BENCH_SETTINGS);
const certificates = {
	wwdr: fs.readFileSync(settings.wwdr),
	signerCert: fs.readFileSync(settings.cert),
	signerKey: fs.readFileSync(settings.key),
};
const buffers = {};
for (const entry of fs.readdirSync(settings.folder, { recursive: true, withFileTypes: true })) {
	if (!entry.isFile()) continue;
	const file = path.join(entry.parentPath ?? entry.path, entry.name);
	buffers[path.relative(settings.folder, file)] = fs.readFileSync(file);
}
const model = new PKPass(buffers, certificates);

let serial = 0;
let last;
const make = async () => {
	const pass = await PKPass.from(model, { serialNumber: `P${++serial}` });
	last = pass.getAsBuffer();
};

(async () => {
	for await (const line of readline.createInterface({ input: process.stdin })) {
		// A little before it counts, since another process was at work.
		for (const settled = performance.now() + 50; performance.now() < settled; ) await make();
		const until = performance.now() + 1000 * Number(line);
		const before = process.cpuUsage();
		let passes = 0;
		while (performance.now() < until) {
			await make();
			passes++;
		}
		const { user, system } = process.cpuUsage(before);
		console.log(JSON.stringify({ passes, cpu: (user + system) / 1e6, bytes: last.length, last: last.toString("base64") }));
	}
})();
