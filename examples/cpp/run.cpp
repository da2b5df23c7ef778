// Runs a model of one float input with the sparse kernels: run_cpp MODEL LIBRARY; open sizes are 1.
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <iostream>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: run_cpp MODEL LIBRARY\n";
    return 2;
  }
  try {
    Ort::Env environment(ORT_LOGGING_LEVEL_WARNING, "example");
    Ort::SessionOptions options;
    options.RegisterCustomOpsLibrary(argv[2]);
    Ort::Session session(environment, argv[1], options);

    Ort::AllocatorWithDefaultOptions allocator;
    const auto input = session.GetInputNameAllocated(0, allocator);
    const auto output = session.GetOutputNameAllocated(0, allocator);
    auto shape = session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape();
    std::replace_if(shape.begin(), shape.end(), [](int64_t size) { return size < 0; }, 1);

    auto x = Ort::Value::CreateTensor<float>(allocator, shape.data(), shape.size());
    std::fill_n(x.GetTensorMutableData<float>(), x.GetTensorTypeAndShapeInfo().GetElementCount(), 0.5F);
    const char* inputs[] = {input.get()};
    const char* outputs[] = {output.get()};
    const auto results = session.Run(Ort::RunOptions{nullptr}, inputs, &x, 1, outputs, 1);
    const auto count = results[0].GetTensorTypeAndShapeInfo().GetElementCount();
    std::cout << output.get() << ": " << count << " values, first " << results[0].GetTensorData<float>()[0] << "\n";
  } catch (const Ort::Exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
