// Judges the corpus of events with ajv, as a runtime written in JavaScript would, and reads the AsyncAPI document with
// AsyncAPI's own parser. The documents come from the program, the corpus from testdata/events:
//
//   node schema.mjs <directory of the documents> <directory of the corpus>
import fs from 'node:fs';
import path from 'node:path';
import { Parser } from '@asyncapi/parser';
import Ajv from 'ajv';
import Ajv2020 from 'ajv/dist/2020.js';

const [documents, corpus] = process.argv.slice(2);
const read = (name) => JSON.parse(fs.readFileSync(path.join(documents, name), 'utf8'));
let problems = 0;
const problem = (text) => {
  console.error(text);
  process.exitCode = 1;
  problems++;
};

const strict = new Ajv2020.default({ strict: true });
const types = ['agent.finished', 'agent.started', 'run.started', 'run.finished', 'run.reported', 'executions.voided'];
const compiled = {};
for (const name of [...types, 'event', 'cloudevent']) {
  const schema = read(name);
  if (!strict.validateSchema(schema)) problem(`${name}: ${strict.errorsText()}`);
  compiled[name] = strict.compile(schema);
  for (const example of schema.examples) {
    if (!compiled[name](example)) problem(`${name} refuses its example: ${strict.errorsText(compiled[name].errors)}`);
  }
}

// Payloads of the AsyncAPI document are of draft 7, which its own dialect adds to.
const asyncapi = read('asyncapi');
const draft7 = new Ajv.default({ strict: true });
draft7.addVocabulary(['components']);
draft7.addSchema({ $id: 'asyncapi', components: { schemas: asyncapi.components.schemas } }, 'asyncapi', false, false);
for (const name of [...types, 'cloudEvent', 'eventInCloudEvent']) {
  compiled[`asyncapi ${name}`] = draft7.compile({ $ref: `asyncapi#/components/schemas/${name}` });
}

const lines = (name) => fs.readFileSync(path.join(corpus, name), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line));

// accepts tells whether a validator takes the payload of a case. What is not JSON is refused before.
function accepts(name, c) {
  if ('event' in c) return compiled[name](c.event);
  const text = c.text ?? Buffer.from(c.base64, 'base64').toString('utf8');
  try {
    return compiled[name](JSON.parse(text));
  } catch (err) {
    if (err instanceof SyntaxError) return false;
    throw err;
  }
}

const judges = { structured: ['cloudevent', 'asyncapi cloudEvent'], binary: ['asyncapi eventInCloudEvent'] };
let judged = 0;

function judge(file, expected) {
  for (const c of lines(file)) {
    const want = expected(c);
    for (const name of judges[c.cloudEvent] ?? ['event']) {
      judged++;
      if (accepts(name, c) !== want) problem(`${c.case}: ${name} ${want ? 'refuses' : 'accepts'} it`);
    }
    if (c.cloudEvent) continue;
    for (const type of c.type ? types : []) {
      for (const name of [type, `asyncapi ${type}`]) {
        judged++;
        if (accepts(name, c) !== (type === c.type)) problem(`${c.case}: ${name} says ${type !== c.type}`);
      }
    }
  }
}

judge('good.ndjson', () => true);
judge('bad.ndjson', () => false);
judge('beyond.ndjson', () => true);
judge('digits.ndjson', (c) => c.doubles);
console.log(`ajv judged ${judged} times`);

const began = performance.now();
const { document, diagnostics } = await new Parser().parse(JSON.stringify(asyncapi));
for (const d of diagnostics) {
  // That there is a newer version of AsyncAPI is all that may be said.
  if (d.code !== 'asyncapi-latest-version') problem(`asyncapi.json: ${d.code}: ${d.message} at ${d.path.join('.')}`);
}
if (!document) problem('asyncapi.json cannot be read');
const found = document.allMessages().all().map((message) => message.id());
console.log(`@asyncapi/parser found ${found.length} messages in ${Math.round(performance.now() - began)} ms: ${found.join(' ')}`);
if (found.length !== 9) problem('asyncapi.json does not have its nine messages');
console.log(problems === 0 ? 'no problems' : `${problems} problems`);
