"""Values that the tests of the chart share."""

from typing import Any

from tests.deploy.chart import at, merged

SASL = {
    "config": {
        "kafka": {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "eye"},
    },
    "secrets": {
        "kafkaPassword": {"name": "kafka-user"},
        "kafkaAuthority": {"name": "kafka-ca"},
        "galleryKey": {"name": "gallery"},
    },
}
MUTUAL_TLS = {
    "config": {"kafka": {"security_protocol": "SSL"}},
    "secrets": {"kafkaAuthority": {"name": "ca"}, "kafkaClient": {"name": "client", "keyPasswordKey": "password"}},
}
KEDA = {"autoscaling": {"mode": "keda"}}
GPU = {"image": {"variant": "gpu"}, "gpu": {"resourceName": "nvidia.com/mig-1g.10gb"}, "runtimeClassName": "nvidia"}
TENSORRT = merged(GPU, at("config.engine.kind", "tensorrt"))
EVERYTHING = {
    "topics": {"create": {"enabled": True}},
    "networkPolicy": {
        "enabled": True,
        "dns": {"cluster": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}},
        "kafka": {"brokers": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kafka"}}}},
        "kafkaPorts": {"other": 9094},
        "prometheus": {"ours": {"podSelector": {"matchLabels": {"app": "prometheus"}}}},
        "egress": {"proxy": {"ports": [{"protocol": "TCP", "port": 3128}]}},
    },
    "imagePullSecrets": {"registry": True, "not-this": False},
    "env": {"OTEL_SERVICE_NAME": "eye", "NODE": {"valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}},
    "serviceAccount": {"annotations": {"a": "b"}},
    "podMonitor": {"additionalLabels": {"release": "prometheus", "team": "metrics"}},
    "commonLabels": {"team": "vision"},
    "podAnnotations": {"a": "b"},
    "podLabels": {"a": "b", "team": "eyes"},
    "nodeSelector": {"disk": "fast"},
    "tolerations": {"any": {"operator": "Exists"}},
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]}}},
    "priorityClassName": "high",
    "models": {"existingClaim": "models"},
    "extraVolumes": {"more": {"emptyDir": {}}},
    "extraVolumeMounts": {"more": {"mountPath": "/more"}},
    "doctor": {"asAdmin": True},
}  # fmt: skip
MATRIX: dict[str, dict[str, Any]] = {
    "defaults": {},
    "stateful": {"kind": "StatefulSet", "engineCache": {"type": "pvc"}},
    "sasl and keda": merged(SASL, KEDA),
    "mutual TLS, keda, stateful": merged(MUTUAL_TLS, KEDA, {"kind": "StatefulSet"}),
    "hpa": {"autoscaling": {"mode": "hpa"}},
    "gpu, engines on the node": merged(GPU, {"engineCache": {"type": "hostPath", "hostPath": {"path": "/engines"}}}),
    "gpu, engines shared": merged(GPU, at("config.engine.kind", "tensorrt"), {
        "engineCache": {"type": "pvc", "pvc": {"accessMode": "ReadWriteMany", "storageClassName": "nfs"}}}),
    "everything": merged(EVERYTHING, SASL, KEDA, {"admin": {"username": "root", "kafkaPassword": {"name": "root"}}}),
}  # fmt: skip

WITH_JOB = {"topics": {"create": {"enabled": True}}}
AS_ADMIN = {"admin": {"username": "root", "kafkaPassword": {"name": "root"}}, "doctor": {"asAdmin": True}}
