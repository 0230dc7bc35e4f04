// Command kube-apiserver is the true API server: validation, defaults, watches, conflicts and rights are its own.
package main

import (
	"os"
	_ "time/tzdata" // Zones for CronJobs, on machines without a zone database.

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // /metrics: requests this process makes
	_ "k8s.io/component-base/metrics/prometheus/version"  // /metrics: build information
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() { os.Exit(cli.Run(app.NewAPIServerCommand())) }
