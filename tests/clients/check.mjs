// The official JavaScript client against a cluster whose API server and etcd are killed.
//
// What is to be killed is asked for on standard output, a line each: `kill NAME`; the answer is a line on standard input.

import assert from "node:assert";
import readline from "node:readline";
import { PassThrough } from "node:stream";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// Wherever it is installed: modules are not looked up by NODE_PATH.
const k8s = await import(pathToFileURL(createRequire(`${process.env.CLIENT}/`).resolve("@kubernetes/client-node")));

const namespace = "default";
const kills = process.argv[2].split(",");
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function kill(name) {
  console.log("kill", name);
  assert.equal((await lines.next()).value, "done");
}

async function refused(code, promise) {
  await assert.rejects(promise, (error) => error.code === code);
}

// Calls until the server is there.
async function again(call) {
  for (let i = 0; i < 600; i++) {
    try {
      return await call();
    } catch (error) {
      if (error.code >= 400 && error.code < 500) throw error;
    }
    await pause(100);
  }
  throw new Error("the server does not come back");
}

// Every verb, and patches of every type.
async function writeAndRead(core) {
  const name = "js";
  const body = { metadata: { name, labels: { app: "js" } }, data: { a: "1" } };
  const created = await core.createNamespacedConfigMap({ namespace, body });
  await refused(409, core.createNamespacedConfigMap({ namespace, body }));
  created.data.b = "2";
  await core.replaceNamespacedConfigMap({ name, namespace, body: created });
  await refused(409, core.replaceNamespacedConfigMap({ name, namespace, body: created }));
  const strategy = k8s.PatchStrategy;
  const types = [
    [strategy.JsonPatch, [{ op: "add", path: "/data/c", value: "3" }]],
    [strategy.MergePatch, { data: { d: "4" } }],
    [strategy.StrategicMergePatch, { data: { e: "5" } }],
    [strategy.ServerSideApply, { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data: { f: "6" } }],
  ];
  for (const [type, change] of types) {
    const options = k8s.setHeaderOptions("Content-Type", type);
    const fieldManager = type === strategy.ServerSideApply ? "js" : undefined;
    await core.patchNamespacedConfigMap({ name, namespace, body: change, fieldManager }, options);
  }
  const read = await core.readNamespacedConfigMap({ name, namespace });
  assert.deepEqual(Object.keys(read.data).sort(), ["a", "b", "c", "d", "e", "f"]);
  const page = await core.listNamespacedConfigMap({ namespace, labelSelector: "app=js", limit: 1 });
  assert.deepEqual(page.items.map((item) => item.metadata.name), [name]);
  await core.deleteNamespacedConfigMap({ name, namespace });
  await refused(404, core.readNamespacedConfigMap({ name, namespace }));
}

// An informer is told of each object's versions once, in their order, whatever is killed.
async function watchThroughKills(config, core) {
  const path = `/api/v1/namespaces/${namespace}/configmaps`;
  const list = () => core.listNamespacedConfigMap({ namespace, labelSelector: "app=watched" });
  const informer = k8s.makeInformer(config, path, list, "app=watched");
  const told = [];
  let last;
  const done = new Promise((resolve) => (last = resolve));
  const note = (type) => (map) => {
    told.push([type, map.metadata.name, map.metadata.resourceVersion]);
    if (map.metadata.name === "js-last") last();
  };
  for (const type of ["add", "update", "delete"]) informer.on(type, note(type));
  const start = () => informer.start().catch(() => pause(100).then(start));
  informer.on("error", () => pause(100).then(start));
  await informer.start();
  const written = [];
  const create = async (name) => {
    const body = { metadata: { name, labels: { app: "watched" } } };
    const map = await again(() => core.createNamespacedConfigMap({ namespace, body }));
    written.push(["add", name, map.metadata.resourceVersion]);
  };
  for (const [number, name] of kills.entries()) {
    await create(`js-${number}-before`);
    await kill(name);
    await create(`js-${number}-after`);
  }
  await create("js-last");
  await Promise.race([done, pause(120_000)]);
  // A list that follows a broken watch tells what it finds in the order of names.
  const sorted = (all) => all.map(String).sort();
  assert.deepEqual(sorted(told), sorted(written));
  await informer.stop();
  await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector: "app=watched" });
}

async function talkToAPod(config, core) {
  const name = "js-client";
  const command = ["/bin/sh", "-c", "echo hello; exec sleep 1000"];
  const containers = [{ name: "c", image: "ferrokube/demo:v1", command }];
  await core.createNamespacedPod({ namespace, body: { metadata: { name }, spec: { containers } } });
  await new Promise((resolve, reject) => {
    const query = { fieldSelector: `metadata.name=${name}` };
    new k8s.Watch(config).watch(
      `/api/v1/namespaces/${namespace}/pods`,
      query,
      (_, pod) => pod.status.phase === "Running" && resolve(),
      reject,
    );
  });
  assert.equal(await core.readNamespacedPodLog({ name, namespace }), "hello\n");
  const [out, input] = [new PassThrough(), new PassThrough()];
  const status = new Promise((resolve) => {
    const exec = new k8s.Exec(config);
    exec.exec(namespace, name, "c", ["/bin/sh", "-c", "read a; echo $a; exit 3"], out, null, input, false, resolve);
  });
  input.write("to and fro\n");
  const said = await status;
  assert.equal(said.details.causes[0].message, "3");
  assert.equal(out.read().toString(), "to and fro\n");
  await core.deleteNamespacedPod({ name, namespace, gracePeriodSeconds: 0 });
}

const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
await writeAndRead(core);
await talkToAPod(config, core);
await watchThroughKills(config, core);
console.log("passed");
process.exit(0);
