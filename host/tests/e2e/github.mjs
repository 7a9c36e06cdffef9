// GitHub for the collector `github`: one address, behind it GraphQL over the official schema and REST over the official
// description.
//
// `node github.mjs MODULES PORT PRISM_PORT NOW LOG EXPECTED`, with the token in GITHUB_TOKEN:
// GraphQL documents are answered by graphql-yoga from the small world below; a field that the schema does not have is refused.
// Everything else goes to Prism, which holds a request against GitHub's own OpenAPI description. A line of JSON for every
// request goes to LOG, and what each series must be, computed from the world alone, to EXPECTED.

import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';

const [modules, port, prismPort, nowText, logFile, expectedFile] = process.argv.slice(2);
const load = createRequire(`${modules}/`);
const { buildSchema } = load('graphql');
const { createYoga } = load('graphql-yoga');

const NOW = Date.parse(nowText);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const WEEK_START = NOW - 7 * DAY;

const iso = (time) => new Date(time).toISOString().replace('.000Z', 'Z');
const times = (count, make) => Array.from({ length: count }, (_, n) => make(n));
const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
const mean = (numbers) => sum(numbers) / numbers.length;

// ---- the world -------------------------------------------------------------------------------------------------------------

// Figures that health_fom reads stand between its best and its worst, where its formulas show.

// More than a page of 100: one every 4 hours, back to three weeks ago, the 85th exactly two weeks old, which is not stale.
const openPulls = times(130, (n) => ({ number: 1000 + n, state: 'OPEN', createdAt: NOW - n * 4 * HOUR }));

// The first two were merged at the very start of the week and a second before it; the rest are spread over it.
const mergedPulls = times(32, (n) => {
  const mergedAt = n === 0 ? WEEK_START : n === 1 ? WEEK_START - 1000 : NOW - n * 5 * HOUR;
  return {
    number: 2000 + n, state: 'MERGED', createdAt: mergedAt - 3 * (n + 1) * HOUR, updatedAt: NOW - n * 60_000,
    closedAt: mergedAt, mergedAt, totalCommentsCount: n % 3,
    paths: times(n === 5 ? 120 : 1 + (n % 4), (file) => `src/part${n}/file${file % (n === 5 ? 120 : 3)}.rs`),
  };
});

const unmergedPulls = times(6, (n) => {
  const closedAt = NOW - (n * 2 + 1) * DAY;
  return {
    number: 3000 + n, state: 'CLOSED', createdAt: closedAt - DAY, updatedAt: closedAt, closedAt, mergedAt: null,
    totalCommentsCount: 9,
  };
});

const pulls = [...openPulls, ...mergedPulls, ...unmergedPulls];

const commit = (n, committedAt, message, pull, parents = 1) => ({
  oid: n.toString(16).padStart(40, '0'), committedAt, message, pull, parents,
  additions: 10 * n, deletions: n, email: [`Ann@Example.com`, `ann@example.com`, `bob@example.com`, ''][n % 4],
});

// Squash merges, whose files are their pull requests'; then a push and a merge commit, whose files REST has.
const commits = [
  ...mergedPulls.map((pull, n) => commit(n + 1, pull.mergedAt, `Part ${n} (#${pull.number})`, pull)),
  commit(41, NOW - HOUR, 'Hotfix: the release\n\nThis reverts nothing.', null),
  commit(42, NOW - 2 * HOUR, 'Merge branch after a force-push', null, 2),
];

const branches = ['main', 'feature/a', 'feature/b', 'Main', 'release/main'];

const OURS = { id: 11, full_name: 'acme/rocket' };
const A_FORK = { id: 12, full_name: 'mallory/rocket' };

function concludeRun(n) {
  if (n % 35 === 1) return 'failure';
  return ['skipped', 'success', 'success', 'cancelled', 'success', 'timed_out', 'success'][n % 7];
}

// More than a page of 100, one every hour and a half, the last of them before the week; the second is of a fork's main.
const workflowRuns = times(115, (n) => {
  const createdAt = n === 114 ? WEEK_START - MINUTE : NOW - n * 1.4 * HOUR;
  const isDone = n % 20 !== 3;
  return {
    id: 5_000_000 + n, name: n % 5 === 0 ? 'Nightly Benchmarks' : 'ci', head_branch: n % 2 === 0 || n === 1 ? 'main' : 'feature/a',
    repository: OURS, head_repository: n === 1 ? A_FORK : OURS,
    status: isDone ? 'completed' : 'in_progress',
    conclusion: isDone ? concludeRun(n) : null,
    run_attempt: n % 11 === 0 ? 2 : 1, created_at: iso(createdAt), run_started_at: iso(createdAt + MINUTE),
    updated_at: iso(createdAt + MINUTE + (n + 1) * 4_000),
  };
});

// ---- what the series must be ------------------------------------------------------------------------------------------------

const isOfWeek = (time) => time !== null && time >= WEEK_START;

// By the exclusive method: at 0.9 * (n + 1), counted from 1, between its neighbours, and not beyond the ends.
function percentile(sorted, share) {
  const at = Math.min(Math.max(share * (sorted.length + 1), 1), sorted.length);
  const below = sorted[Math.floor(at) - 1];
  return below + (sorted[Math.ceil(at) - 1] - below) * (at - Math.floor(at));
}

// `commitFiles` are the names that REST gives for a commit: those of the description's example, for every commit the same.
function expectCode(commitFiles) {
  const ofWeek = commits.filter((row) => isOfWeek(row.committedAt));
  const mentioning = (...words) => ofWeek.filter((row) => words.some((word) => row.message.toLowerCase().includes(word))).length;
  const emails = new Set(ofWeek.map((row) => row.email.toLowerCase()).filter((email) => email !== ''));
  const paths = new Set(ofWeek.flatMap((row) => row.pull?.paths ?? commitFiles));
  return {
    'github.branches.active': branches.length - 1,
    'github.commits.total_7d': ofWeek.length,
    'github.commits.hotfix': mentioning('hotfix'),
    'github.commits.reverts': mentioning('revert'),
    'github.commits.force_merge_7d': mentioning('force push', 'force merge', 'force-push', 'force-merge'),
    'github.code.lines_added_7d': sum(ofWeek.map((row) => row.additions)),
    'github.code.lines_deleted_7d': sum(ofWeek.map((row) => row.deletions)),
    'github.code.files_changed_7d': paths.size,
    'github.developers.active_7d': emails.size,
    'github.commits.per_developer_7d': ofWeek.length / emails.size,
  };
}

function expectPulls() {
  const merged = mergedPulls.filter((pull) => isOfWeek(pull.mergedAt));
  const hours = mean(merged.map((pull) => (pull.mergedAt - pull.createdAt) / HOUR));
  return {
    'github.prs.open': openPulls.length,
    'github.prs.stale_count_14d': openPulls.filter((pull) => pull.createdAt < NOW - 14 * DAY).length,
    'github.prs.merged_7d': merged.length,
    'github.prs.closed_without_merge_7d': unmergedPulls.filter((pull) => isOfWeek(pull.closedAt)).length,
    'github.prs.avg_time_to_merge_hours': hours,
    'github.prs.cycle_time_hours': hours,
    'github.prs.with_review_comments_pct': 100 * mean(merged.map((pull) => (pull.totalCommentsCount > 0 ? 1 : 0))),
    'github.prs.avg_comments_per_pr': mean(merged.map((pull) => pull.totalCommentsCount)),
  };
}

function expectRuns() {
  const ofWeek = workflowRuns.filter((run) => isOfWeek(Date.parse(run.created_at)));
  const concluded = (...conclusions) => ofWeek.filter((run) => conclusions.includes(run.conclusion)).length;
  const completed = ofWeek.filter((run) => run.status === 'completed');
  const minutes = completed.map((run) => (Date.parse(run.updated_at) - Date.parse(run.run_started_at)) / MINUTE);
  minutes.sort((one, other) => one - other);
  const undecided = ['skipped', 'neutral', 'cancelled', 'stale', 'action_required'];
  // The newest stand first.
  const onMain = completed.filter((run) => run.head_branch === 'main' && run.head_repository === OURS);
  const decided = onMain.filter((run) => !undecided.includes(run.conclusion));
  const passes = (run) => (run.conclusion === 'success' ? 1 : 0);
  return {
    'github.ci.workflow_runs_7d': ofWeek.length,
    'github.ci.failed_workflows_7d': concluded('failure'),
    'github.ci.timeout_cancellations_7d': concluded('cancelled', 'timed_out'),
    'github.ci.flaky_checks_7d': ofWeek.filter((run) => run.run_attempt > 1).length,
    'github.ci.benchmarks_passing': passes(decided.find((run) => run.name.toLowerCase().includes('benchmark'))),
    'github.ci.tests_passing_on_main': passes(decided[0]),
    'github.ci.avg_workflow_duration_minutes': mean(minutes),
    'github.ci.duration_p50_minutes': percentile(minutes, 0.5),
    'github.ci.duration_p90_minutes': percentile(minutes, 0.9),
    'github.ci.duration_p99_minutes': percentile(minutes, 0.99),
  };
}

// ---- GraphQL ----------------------------------------------------------------------------------------------------------------

// A page of rows after a cursor, which is the place of its row; GitHub refuses more than 100.
function connection(rows, { first, after }) {
  if (!(first >= 1 && first <= 100)) throw new Error('`first` is not within 1 and 100');
  const from = after ? Number(Buffer.from(after, 'base64').toString()) : 0;
  const to = Math.min(rows.length, from + first);
  const endCursor = to > from ? Buffer.from(String(to)).toString('base64') : null;
  return {
    totalCount: rows.length, nodes: rows.slice(from, to),
    pageInfo: { hasNextPage: to < rows.length, hasPreviousPage: from > 0, startCursor: null, endCursor },
  };
}

const timeOrNull = (time) => (time === null || time === undefined ? null : iso(time));

function pullRequest(pull) {
  return {
    ...pull, createdAt: iso(pull.createdAt), updatedAt: iso(pull.updatedAt ?? pull.createdAt),
    closedAt: timeOrNull(pull.closedAt), mergedAt: timeOrNull(pull.mergedAt),
    files: (page) => connection(pull.paths.map((path) => ({ path })), page),
    mergeCommit: () => gitCommit(commits.find((row) => row.pull === pull)),
  };
}

function gitCommit(row) {
  return {
    __typename: 'Commit', ...row, committedDate: iso(row.committedAt), author: { email: row.email },
    parents: (page) => connection(times(row.parents, () => ({})), page),
    associatedPullRequests: (page) => connection(row.pull ? [pullRequest(row.pull)] : [], page),
  };
}

const repository = {
  pullRequests({ states, orderBy, ...page }) {
    const key = { CREATED_AT: 'createdAt', UPDATED_AT: 'updatedAt' }[orderBy.field];
    const sign = orderBy.direction === 'ASC' ? 1 : -1;
    const rows = pulls.filter((pull) => states.includes(pull.state));
    rows.sort((one, other) => sign * (one[key] - other[key]));
    return connection(rows.map(pullRequest), page);
  },
  pullRequest: ({ number }) => pullRequest(pulls.find((pull) => pull.number === number)),
  refs: (page) => connection(branches.map((name) => ({ name })), page),
  ref({ qualifiedName }) {
    const name = branches.find((branch) => `refs/heads/${branch}` === qualifiedName);
    return name ? { name } : null;
  },
  defaultBranchRef: {
    name: 'main',
    target: {
      __typename: 'Commit',
      history({ since, ...page }) {
        const rows = commits.filter((row) => !since || row.committedAt >= Date.parse(since));
        rows.sort((one, other) => other.committedAt - one.committedAt);
        return connection(rows.map(gitCommit), page);
      },
    },
  },
};

function createGraphql() {
  const text = fs.readFileSync(`${modules}/node_modules/@octokit/graphql-schema/schema.graphql`, 'utf8');
  const schema = buildSchema(text, { assumeValidSDL: true });
  const isAsked = ({ owner, name }) => owner === 'acme' && name === 'rocket';
  schema.getQueryType().getFields().repository.resolve = (_, asked) => (isAsked(asked) ? repository : null);
  return createYoga({ schema, graphqlEndpoint: '/graphql', graphiql: false, logging: false, maskedErrors: false });
}

// ---- both behind one address ------------------------------------------------------------------------------------------------

async function askGraphql(yoga, request, body) {
  const { method, headers } = request;
  const response = await yoga.fetch(`http://127.0.0.1${request.url}`, { method, headers, body });
  const text = await response.text();
  const { errors } = JSON.parse(text);
  const operation = JSON.parse(body).query.split(/[({]/)[0].trim();
  return { status: response.status, type: 'application/json', text, operation, refused: errors && JSON.stringify(errors) };
}

async function askPrism(request) {
  const { host, connection, ...headers } = request.headers;
  const response = await fetch(`http://127.0.0.1:${prismPort}${request.url}`, { method: request.method, headers });
  const text = await response.text();
  const violations = response.headers.get('sl-violations');
  const refused = violations ?? (response.status >= 400 ? text.slice(0, 1000) : undefined);
  const url = new URL(request.url, 'http://127.0.0.1');
  const isRuns = refused === undefined && url.pathname === '/repos/acme/rocket/actions/runs';
  return { status: response.status, type: 'application/json', text: isRuns ? fillRuns(text, url.searchParams) : text, refused };
}

// The example that Prism answers with has one run of years ago: its fields stay, and the world's take their places in it.
function fillRuns(text, asked) {
  const example = JSON.parse(text).workflow_runs[0];
  const since = Date.parse(asked.get('created').replace('>=', ''));
  const rows = workflowRuns.filter((run) => Date.parse(run.created_at) >= since);
  const [page, size] = [Number(asked.get('page') ?? 1), Number(asked.get('per_page') ?? 30)];
  const shown = rows.slice((page - 1) * size, page * size).map((run) => {
    const [repository, head_repository] = ['repository', 'head_repository'].map((key) => ({ ...example[key], ...run[key] }));
    return { ...example, ...run, repository, head_repository };
  });
  return JSON.stringify({ total_count: rows.length, workflow_runs: shown });
}

const REFUSED_TOKEN = { status: 401, type: 'application/json', text: '{"message":"Bad credentials"}', refused: 'the token' };

async function answer(yoga, request, body) {
  if (request.headers.authorization !== `Bearer ${process.env.GITHUB_TOKEN}`) return REFUSED_TOKEN;
  return request.url === '/graphql' ? askGraphql(yoga, request, body) : askPrism(request);
}

function serve() {
  const yoga = createGraphql();
  const log = fs.openSync(logFile, 'a');
  const server = http.createServer(async (request, response) => {
    if (request.url === '/up') return response.end();
    const chunks = await request.toArray();
    const { status, type, text, operation, refused } = await answer(yoga, request, Buffer.concat(chunks).toString())
      .catch((error) => ({ status: 502, type: 'text/plain', text: String(error), refused: String(error.stack) }));
    const { method, url } = request;
    fs.writeSync(log, `${JSON.stringify({ method, url, status, operation, refused })}\n`);
    response.writeHead(status, { 'content-type': type }).end(text);
  });
  server.listen(Number(port), '127.0.0.1');
}

async function main() {
  const headers = { accept: 'application/json' };
  const example = await fetch(`http://127.0.0.1:${prismPort}/repos/acme/rocket/commits/main`, { headers });
  const { files } = await example.json();
  const expected = { ...expectPulls(), ...expectCode(files.map((file) => file.filename)), ...expectRuns() };
  const lines = Object.entries(expected).map(([series, value]) => [series, { value }]);
  fs.writeFileSync(expectedFile, `${JSON.stringify(Object.fromEntries(lines), null, 1)}\n`);
  serve();
}

await main();
