# Writes OUTPUT, a C++ file with every .jinja file of FOLDER as a raw string.
# cmake -DFOLDER=… -DOUTPUT=… -P EmbedTemplates.cmake
file(GLOB files ${FOLDER}/*.jinja)
list(SORT files)
set(entries "")
foreach(path IN LISTS files)
  get_filename_component(name ${path} NAME_WLE)
  file(READ ${path} text)
  string(APPEND entries "    {\"${name}\", R\"jinja~(${text})jinja~\"},\n")
endforeach()
file(WRITE ${OUTPUT} "#include \"server/chat/builtin_templates.h\"
namespace hearth {
std::span<const BuiltinTemplate> builtin_templates() {
  static constexpr BuiltinTemplate kTemplates[] = {
${entries}  };
  return kTemplates;
}
}  // namespace hearth
")
