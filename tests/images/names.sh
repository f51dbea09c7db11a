# The names of the images that the tests and the demo use, and nothing else. Sourced by scripts; this is the only place.
#
# "localhost/" is a registry that nobody has: an image that was not loaded fails at once and is never taken from a
# stranger. The tag is not "latest", which would imply imagePullPolicy: Always.
image_operator=localhost/daskflow/operator:test       # Dockerfile at the top
image_prefect1=localhost/daskflow/flow-prefect1:test  # Prefect 1.4.1; also that of manifests/samples/example
image_prefect3=localhost/daskflow/flow-prefect3:test  # Prefect 3.8.8
image_prefect0=localhost/daskflow/flow-prefect0:test  # Prefect 0.13.19
image_dask=localhost/daskflow/dask:test               # Dask alone
image_gateway=localhost/daskflow/gateway:test         # a Dask Gateway, whose clusters have Prefect 1.4.1
all_images=(operator prefect1 prefect3 prefect0 dask gateway)
