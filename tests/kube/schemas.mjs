// Validates Kubernetes objects against their schemas and refuses keys that no schema knows.
//
//   node tests/kube/schemas.mjs DIR       DIR as tests/kube/setup made it
//
// Standard input: one JSON line per object, {"old": true|false, "object": {...}}; old: by the schemas of Kubernetes 1.25, else by the
// newest ones. Standard output: one line each, an array of complaints, empty when the object is right.
//
// The packages hold compiled validators, which accept unknown keys. A validator looks at every key that its schema knows, and only at
// those, so each object is given to it in a wrapper that notes which keys were asked for: a key that nobody asked for is not known. A
// map with additionalProperties is read as a whole. An object of which nothing was asked is one that may hold anything
// (x-kubernetes-preserve-unknown-fields, a custom resource inside a field), and is left alone.
import path from "node:path";
import readline from "node:readline";
import { pathToFileURL } from "node:url";

const packages = path.resolve(process.argv[2], "node_modules");
const MONITORING = "monitoring.coreos.com";

async function modelOf(old, { apiVersion, kind }) {
  const home = apiVersion.startsWith(MONITORING) ? "@kubernetes-models/prometheus-operator" : old ? "kubernetes-models-1.25" : "kubernetes-models";
  try {
    return (await import(pathToFileURL(path.join(packages, home, apiVersion, `${kind}.js`))))[kind];
  } catch (problem) {
    if (problem.code !== "ERR_MODULE_NOT_FOUND") throw problem;
    return null;
  }
}

class Tracker {
  constructor() {
    this.asked = new Map(); // object -> the names of the keys that were asked for
    this.wrappers = new Map();
  }

  wrap(value, prototype) {
    if (value === null || typeof value !== "object") return value;
    if (!this.wrappers.has(value)) {
      if (!Array.isArray(value)) this.asked.set(value, new Set());
      this.wrappers.set(value, new Proxy(value, {
        get: (target, key) => {
          if (typeof key === "symbol") return prototype ? prototype[key] : target[key];
          if (!Array.isArray(target)) this.asked.get(target).add(key);
          return this.wrap(target[key]);
        },
      }));
    }
    return this.wrappers.get(value);
  }

  unknown(value, where, found) {
    if (value === null || typeof value !== "object") return found;
    const asked = this.asked.get(value);
    for (const [key, child] of Object.entries(value)) {
      const here = Array.isArray(value) ? `${where}[${key}]` : `${where}.${key}`;
      if (asked && asked.size && !asked.has(key)) found.push(`${here} is not known`);
      else this.unknown(child, here, found);
    }
    return found;
  }
}

async function complaints({ old, object }) {
  if (!object?.apiVersion || !object?.kind) return ["apiVersion or kind is missing"];
  const model = await modelOf(old, object);
  const name = `${object.kind} ${object.metadata?.name ?? object.metadata?.generateName}`;
  if (!model) return [`${name}: no schema for ${object.apiVersion} ${object.kind}`];
  const tracker = new Tracker();
  try {
    model.prototype.validate.call(tracker.wrap(object, model.prototype));
  } catch (problem) {
    return [`${name}: ${problem.message}`];
  }
  return tracker.unknown(object, name, []);
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await complaints(JSON.parse(line)))}\n`);
}
