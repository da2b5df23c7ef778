/* Makes a session with the sparse kernels by the C API, and tells its inputs and outputs: run_c MODEL LIBRARY. */
#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <stdlib.h>

static const OrtApi* ort;

static void check(OrtStatus* status) {
  if (status != NULL) {
    fprintf(stderr, "%s\n", ort->GetErrorMessage(status));
    ort->ReleaseStatus(status);
    exit(1);
  }
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: run_c MODEL LIBRARY\n");
    return 2;
  }
  ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
  if (ort == NULL) {
    fprintf(stderr, "this ONNX Runtime is older than its header\n");
    return 1;
  }
  OrtEnv* environment;
  OrtSessionOptions* options;
  OrtSession* session;
  size_t inputs, outputs;
  check(ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "example", &environment));
  check(ort->CreateSessionOptions(&options));
  check(ort->RegisterCustomOpsLibrary_V2(options, argv[2]));
  check(ort->CreateSession(environment, argv[1], options, &session));
  check(ort->SessionGetInputCount(session, &inputs));
  check(ort->SessionGetOutputCount(session, &outputs));
  printf("%zu inputs, %zu outputs\n", inputs, outputs);
  ort->ReleaseSession(session);
  ort->ReleaseSessionOptions(options);
  ort->ReleaseEnv(environment);
  return 0;
}
