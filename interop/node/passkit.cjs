// Judges passes by the schemas of passkit-generator, and signs them with it.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const { PKPass } = require("passkit-generator");
// The schemas are not exported; a path of our own reaches them.
const Schemas = require(path.join(__dirname, "node_modules/passkit-generator/lib/cjs/schemas/index.js"));

const settings = JSON.parse(process.env.SETTINGS);
const warnings = [];
console.warn = (...args) => warnings.push(args.map(String).join(" "));

// keysOf lists the path of every key that a schema knows.
function keysOf(node, at, found) {
	for (const [key, child] of Object.entries(node.keys ?? {})) {
		const here = at ? `${at}.${key}` : key;
		found.add(here);
		keysOf(child, here, found);
	}
	for (const item of node.items ?? []) keysOf(item, `${at}[0]`, found);
	for (const match of node.matches ?? []) {
		for (const child of [match.schema, match.then, match.otherwise]) if (child) keysOf(child, at, found);
	}
	return found;
}

const certificates = {
	wwdr: fs.readFileSync(settings.wwdr),
	signerCert: fs.readFileSync(settings.cert),
	signerKey: fs.readFileSync(settings.key),
};
const passes = settings.passes.map(({ files }) => {
	const buffers = {};
	for (const [name, content] of Object.entries(files)) buffers[name] = Buffer.from(content, "base64");
	const { error } = Schemas.PassProps.validate(JSON.parse(buffers["pass.json"]), { abortEarly: false, allowUnknown: false });
	const errors = (error?.details ?? []).map((d) => d.message);
	warnings.length = 0;
	const pass = new PKPass(buffers, certificates);
	let pkpass = "";
	try {
		pkpass = pass.getAsBuffer().toString("base64");
	} catch (e) {
		errors.push(e.message);
	}
	return { pass, result: { errors, warnings: [...warnings], type: pass.type ?? "", pkpass } };
});
const good = passes.filter(({ result }) => result.pkpass).map(({ pass }) => pass);
console.log(JSON.stringify({
	keys: [...keysOf(Schemas.PassProps.describe(), "", new Set())],
	passes: passes.map(({ result }) => result),
	pkpasses: PKPass.pack(...good).getAsBuffer().toString("base64"),
}));
