package main

const (
	composeFile    = "docker-compose.yml"
	manifestFile   = "deploy/kubernetes.yaml"
	secretsExample = "deploy/kubernetes-secrets.yaml"
)

// deployMutations break the deployment, each in one way, with a part of what must be said of it.
var deployMutations = []struct{ file, from, to, want string }{
	{composeFile, "mem_limit:", "mem_limt:", "mem_limt"},
	{composeFile, "depends_on:\n      setup:", "depends_on:\n      set-up:", "set-up"},
	{composeFile, "condition: service_healthy", "condition: service_healty", "condition value must be one of"},
	{composeFile, "127.0.0.1:8080:8080", "8080:8080", "beyond this machine"},
	{composeFile, "127.0.0.1:3000:3000", "0.0.0.0:3000:3000", "beyond this machine"},
	{composeFile, "prom/prometheus:v", "prom/prometheus:latest # v", "not pinned"},
	{composeFile, "image: nats:2.15.2-alpine", "image: nats", "not pinned"},
	{composeFile, "read_only: true", "read_only: false", "can write to its own files"},
	{composeFile, "cap_drop: [ALL]", "cap_drop: [CHOWN]", "rights that it does not need"},
	{composeFile, "no-new-privileges:true", "no-new-privileges:false", "rights that it does not need"},
	{composeFile, "    user: postgres", "    privileged: true", "rights that it does not need"},
	{composeFile, "mem_limit: 512m", "cpus: 1", "no limit of memory"},
	{composeFile, "./deploy/nats-users.conf:", "./deploy/nats-user.conf:", "deploy/nats-user.conf, which is not there"},
	{composeFile, "prometheus/rules.yml:ro", "prometheus/rules.yml", "can write to"},
	{composeFile, "./deploy/secrets:/run", "../secrets:/run", "outside of the repository"},
	{composeFile, "  NATS_CREDS:\n", "  NATS_CREDENTIALS:\n", "NATS_CREDENTIALS is no variable"},
	{composeFile, "  API_KEYS_FILE:\n", "", "API_KEYS_FILE cannot be set"},
	{composeFile, "  DATAVERSE_TABLE:\n", "  DATAVERSE_TABLE_FILE:\n", "DATAVERSE_TABLE_FILE is no variable"},
	{composeFile, `["run", "--insecure"]`, `["run", "--insecur"]`, "--insecur"},
	{composeFile, `["setup"]`, `["set-up"]`, "set-up"},
	{composeFile, "${NATS_CONFIG:-nats.conf}", "nats.conf", "NATS_CONFIG is read by nothing"},

	{manifestFile, "replicas: 2", "replica: 2", `unknown field "replica"`},
	{manifestFile, "periodSeconds: 10", "periodSeconds: ten", "cannot unmarshal"},
	{manifestFile, "kind: Job", "kind: CronJob", "nothing is known of batch/v1 CronJob"},
	{manifestFile, "replicas: 2", "replicas: 1", "for no pods that there are several of"},
	{manifestFile, "  selector: {app.kubernetes.io/name: run", "  selector: {app.kubernetes.io/name: ", "leads to no pod"},
	{manifestFile, "matchLabels: {app.kubernetes.io/name: run", "matchLabels: {app.kubernetes.io/name: ", "which are not the labels"},
	{manifestFile, "path: /readyz, port: http", "path: /readyz, port: web", "readiness probe asks port web"},
	{manifestFile, "- {name: http, containerPort: 8080}", "- {name: web, containerPort: 8080}", "lets in to port http"},
	{manifestFile, "targetPort: http", "targetPort: 8081", "leads to no pod with port 8081"},
	{manifestFile, "secretName: runmetrics-setup", "secretName: setup", "secret setup, which is not described"},
	{manifestFile, "configMapRef: {name: runmetrics}", "configMapRef: {name: settings}", "settings, which is not there"},
	{manifestFile, "configMapRef: {name: runmetrics}", "secretRef: {name: runmetrics}", "secrets are given as files"},
	{manifestFile, "- {name: data, mountPath: /data}", "- {name: files, mountPath: /data}", "files, which is no volume"},
	{manifestFile, "serviceAccountName: runmetrics", "serviceAccountName: default", `service account "default" is not there`},
	{manifestFile, "      automountServiceAccountToken: false\n", "", "a token that it does not need"},
	{manifestFile, "runAsNonRoot: true", "runAsNonRoot: false", "may run as root"},
	{manifestFile, "type: RuntimeDefault", "type: Unconfined", "no seccomp profile"},
	{manifestFile, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "may gain rights"},
	{manifestFile, "drop: [ALL]", "drop: [ALL], add: [NET_ADMIN]", "keeps capabilities"},
	{manifestFile, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "can write to its own files"},
	{manifestFile, "limits: {memory: 1Gi}", "limits: {cpu: 1}", "how much it may have"},
	{manifestFile, "emptyDir: {sizeLimit: 1Gi}", "hostPath: {path: /data}", "neither empty nor a secret"},
	{manifestFile, "runmetrics:v1.0.0", "runmetrics", "not pinned"},
	{manifestFile, "namespace: runmetrics", "namespace: default", `namespace "default", which nobody makes`},
	{manifestFile, "  STREAMS: RUN_EVENTS", "  STREAM: RUN_EVENTS", "STREAM is no variable"},
	{manifestFile, "args: [run]", "args: [run, --insecure]", "open to everyone"},
	{manifestFile, "args: [run]", "args: [serve]", "serve"},
	{secretsExample, "  api-keys:", "  keys:", "api-keys, which is not mounted"},
	{secretsExample, "<name> read <hash>", "studio read 0123456789abcdef", "api-keys is no placeholder"},
}
